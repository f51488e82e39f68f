//! What this kernel and these privileges allow.

/// Where the kernel describes its types.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Whether the running kernel describes its types (CONFIG_DEBUG_INFO_BTF).
pub fn has_btf() -> bool {
    std::path::Path::new(BTF_PATH).exists()
}
