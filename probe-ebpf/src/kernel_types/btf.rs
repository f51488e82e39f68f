//! BTF as a kernel describes its types with: <https://docs.kernel.org/bpf/btf.html>.

use std::{ffi::CStr, io};

pub(super) const MAGIC: u16 = 0xeb9f;
/// Bytes of a type before what its kind adds.
const TYPE: usize = 12;

/// The kinds of BTF that are told apart here.
pub(super) mod kind {
    pub(in crate::kernel_types) const INT: u32 = 1;
    pub(in crate::kernel_types) const POINTER: u32 = 2;
    pub(in crate::kernel_types) const ARRAY: u32 = 3;
    pub(in crate::kernel_types) const STRUCT: u32 = 4;
    pub(in crate::kernel_types) const UNION: u32 = 5;
    pub(in crate::kernel_types) const ENUM: u32 = 6;
    pub(in crate::kernel_types) const TYPEDEF: u32 = 8;
    pub(in crate::kernel_types) const VOLATILE: u32 = 9;
    pub(in crate::kernel_types) const CONST: u32 = 10;
    pub(in crate::kernel_types) const RESTRICT: u32 = 11;
    pub(in crate::kernel_types) const FUNC_PROTO: u32 = 13;
    pub(in crate::kernel_types) const VAR: u32 = 14;
    pub(in crate::kernel_types) const DATASEC: u32 = 15;
    pub(in crate::kernel_types) const DECL_TAG: u32 = 17;
    pub(in crate::kernel_types) const TYPE_TAG: u32 = 18;
    pub(in crate::kernel_types) const ENUM64: u32 = 19;
}

/// A type: its name, its kind with the number of parts, its size or the type it refers to, and what its
/// kind adds.
#[derive(Clone, Copy)]
pub(super) struct Type<'a> {
    pub(super) name: u32,
    pub(super) info: u32,
    pub(super) size_or_type: u32,
    pub(super) more: &'a [u8],
}

impl<'a> Type<'a> {
    /// The first of `types`.
    fn first(types: &'a [u8]) -> io::Result<Self> {
        let info = u32_at(types, 4)?;
        let more = types.get(TYPE..TYPE + bytes_added(info)?);
        Ok(Self {
            name: u32_at(types, 0)?,
            info,
            size_or_type: u32_at(types, 8)?,
            more: more.ok_or_else(|| malformed("it ends within a type"))?,
        })
    }

    pub(super) fn kind(&self) -> u32 {
        kind_in(self.info)
    }
}

/// All types of a kernel.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    /// Where each begins, by number; 0 is void.
    starts: Vec<u32>,
    strings: &'a [u8],
}

pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the kernel's BTF cannot be read: {what}"),
    )
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk);
    let found = found.ok_or_else(|| malformed("it ends early"))?;
    Ok(u32::from_ne_bytes(*found))
}

impl<'a> Btf<'a> {
    pub(super) fn parse(btf: &'a [u8]) -> io::Result<Self> {
        let word = |at| u32_at(btf, at).map(|word| word as usize);
        if btf.first_chunk().copied().map(u16::from_ne_bytes) != Some(MAGIC) {
            return Err(malformed("it does not begin like BTF"));
        }
        let section = |at: usize| {
            let start = word(4)? + word(at)?;
            let section = btf.get(start..start + word(at + 4)?);
            section.ok_or_else(|| malformed("a section lies outside"))
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut starts = vec![0];
        let mut start = 0;
        while start < types.len() {
            starts.push(start as u32);
            start += TYPE + bytes_added(u32_at(types, start + 4)?)?;
        }
        Ok(Self {
            types,
            starts,
            strings,
        })
    }

    /// Each with its number.
    pub(super) fn types(&self) -> impl Iterator<Item = io::Result<(u32, Type<'a>)>> {
        let numbered = (0u32..).zip(&self.starts).skip(1);
        numbered.map(|(number, &start)| Ok((number, Type::first(&self.types[start as usize..])?)))
    }

    pub(super) fn name(&self, at: u32) -> &'a [u8] {
        let rest = self.strings.get(at as usize..).unwrap_or_default();
        CStr::from_bytes_until_nul(rest).map_or(&[], CStr::to_bytes)
    }

    pub(super) fn by_number(&self, number: u32) -> io::Result<Type<'a>> {
        match self.starts.get(number as usize) {
            Some(&start) if number > 0 => Type::first(&self.types[start as usize..]),
            _ => Err(malformed("it refers to a type that it does not have")),
        }
    }
}

fn kind_in(info: u32) -> u32 {
    info >> 24 & 0x1f
}

/// How many bytes a type has beyond those that each has.
fn bytes_added(info: u32) -> io::Result<usize> {
    let parts = (info & 0xffff) as usize;
    match kind_in(info) {
        kind::INT | kind::VAR | kind::DECL_TAG => Ok(4),
        kind::ARRAY => Ok(12),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => Ok(12 * parts),
        kind::ENUM | kind::FUNC_PROTO => Ok(8 * parts),
        1..kind::ENUM64 => Ok(0),
        kind => Err(malformed(&format!(
            "it has a type of the unknown kind {kind}"
        ))),
    }
}

pub(super) fn words<const N: usize>(words: [u32; N]) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_ne_bytes).collect()
}
