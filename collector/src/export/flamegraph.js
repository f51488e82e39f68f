// The graphs are of one program that expects to be alone on its page: here each is given a page of its own.
const parts = [];

function part(id, program) {
    parts.push({ id, program });
}

function begin() {
    const whole = document.documentElement;
    whole.removeAttribute("viewBox");
    whole.setAttribute("width", "100%");
    for (const { id, program } of parts) {
        const root = document.getElementById(id);
        const page = {
            getElementById: (name) => root.querySelector("#" + name),
            getElementsByTagName: () => [root],
            querySelector: (what) => root.querySelector(what),
            querySelectorAll: (what) => root.querySelectorAll(what),
        };
        const view = {
            addEventListener: (event, listener) =>
                (event === "resize" ? window : root).addEventListener(event, listener),
            location: { search: "", href: "" },
        };
        program(page, view, { replaceState: () => {} })();
    }
}
