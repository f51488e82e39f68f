//! What users are told when the kernel refuses a probe.

use probe_ebpf::{Error, probes::REFUSED};

#[test]
fn the_verifiers_log_is_in_the_file_that_the_error_names() {
    let error = REFUSED.check().expect_err("the verifier refuses it");
    let said = error.to_string();
    let Error::Verifier { log, .. } = error else {
        panic!("refused in another way: {said}");
    };
    assert!(
        said.starts_with(
            "cannot load probe refused: the kernel's verifier refused it; its log is in "
        ),
        "{said}"
    );
    assert!(said.ends_with(&log.display().to_string()), "{said}");
    let text = std::fs::read_to_string(&log).expect("the log is there");
    std::fs::remove_file(&log).expect("the log is ours");
    assert!(text.contains("invalid mem access"), "{text}");
}
