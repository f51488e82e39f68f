//! Words in the memory of another process, where the kernel lets us read it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The memory of a process.
#[derive(Debug)]
pub struct Memory(File);

impl Memory {
    /// That of a process or of a thread of it.
    ///
    /// # Errors
    /// If it has ended, or we may not trace it.
    pub fn of(pid: u32) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/mem")).map(Self)
    }

    /// The four bytes at an address.
    ///
    /// # Errors
    /// If nothing is mapped there.
    pub fn word(&self, address: u64) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.0.read_exact_at(&mut bytes, address)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// The eight bytes at an address.
    ///
    /// # Errors
    /// If nothing is mapped there.
    pub fn double_word(&self, address: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, address)?;
        Ok(u64::from_ne_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_this_process() {
        let words = [0x0102_0304_u32, 0x0506_0708];
        let own = Memory::of(std::process::id()).expect("our own");
        let address = words.as_ptr() as u64;
        assert_eq!(own.word(address).ok(), Some(words[0]));
        assert_eq!(own.word(address + 4).ok(), Some(words[1]));
        let both = [words[0].to_ne_bytes(), words[1].to_ne_bytes()].concat();
        let both = u64::from_ne_bytes(both.try_into().expect("eight bytes"));
        assert_eq!(own.double_word(address).ok(), Some(both));
        assert!(own.word(0).is_err());
        assert!(Memory::of(u32::MAX).is_err());
    }
}
