//! Some of a kernel's types, numbered anew, and what else is wanted of its BTF.

use super::btf::{Btf, MAGIC, Type, kind, malformed, u32_at, words};
use std::{
    collections::{HashMap, HashSet},
    io,
};

/// How deep types lie in each other at most; in a kernel it is a dozen.
const DEEPEST: u32 = 64;

/// A name without its flavour, by which libbpf compares.
fn essential(name: &[u8]) -> &[u8] {
    let end = name.windows(3).position(|three| three == b"___");
    &name[..end.unwrap_or(name.len())]
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Some of the types, numbered anew.
pub(super) struct Cut<'b, 'a> {
    all: &'b Btf<'a>,
    types: Vec<u8>,
    strings: Vec<u8>,
    /// New numbers by old ones.
    numbers: HashMap<u32, u32>,
    count: u32,
    /// Where a name went.
    names: HashMap<u32, u32>,
    /// Numbers in the kernel's own BTF, of the first type of each name.
    pub(super) ids: HashMap<&'a [u8], u32>,
    /// Offsets of the per-CPU variables in their section.
    pub(super) per_cpu: HashMap<String, u32>,
    pub(super) tracepoints: HashSet<String>,
}

impl<'b, 'a> Cut<'b, 'a> {
    pub(super) fn of(all: &'b Btf<'a>) -> Self {
        Self {
            all,
            types: Vec::new(),
            strings: vec![0],
            numbers: HashMap::from([(0, 0)]),
            count: 0,
            names: HashMap::from([(0, 0)]),
            ids: HashMap::new(),
            per_cpu: HashMap::new(),
            tracepoints: HashSet::new(),
        }
    }

    /// Takes the types of these names, with those of their fields.
    pub(super) fn take(&mut self, names: &HashSet<&[u8]>) -> io::Result<()> {
        for found in self.all.types() {
            let (number, found) = found?;
            let name = self.all.name(found.name);
            match found.kind() {
                kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64
                    if names.contains(essential(name)) =>
                {
                    self.keep(number, 0)?;
                    self.ids.entry(name).or_insert(number);
                }
                kind::TYPEDEF if names.contains(essential(name)) => {
                    let named = self.keep(found.size_or_type, 0)?;
                    let name = self.name(found.name);
                    self.add(name, found.info, named, &[]);
                }
                kind::TYPEDEF => {
                    let tracepoint = name.strip_prefix(b"btf_trace_");
                    self.tracepoints.extend(tracepoint.map(text));
                }
                kind::DATASEC if name == b".data..percpu" => {
                    for variable in found.more.chunks_exact(12) {
                        let name = self.all.by_number(u32_at(variable, 0)?)?.name;
                        let name = text(self.all.name(name));
                        self.per_cpu.insert(name, u32_at(variable, 4)?);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps a type and those of its fields; returns its new number. In a field, names of types, and `const` and
    /// the like, make no difference to libbpf: what they stand for is kept in their place.
    fn keep(&mut self, number: u32, depth: u32) -> io::Result<u32> {
        if depth > DEEPEST {
            return Err(malformed("its types are nested too deep"));
        }
        let depth = depth + 1;
        if let Some(&kept) = self.numbers.get(&number) {
            return Ok(kept);
        }
        let found = self.all.by_number(number)?;
        let kept = match found.kind() {
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                self.keep(found.size_or_type, depth)?
            }
            kind::POINTER => self.add(0, found.info, 0, &[]),
            kind::ARRAY => {
                let element = self.keep(u32_at(found.more, 0)?, depth)?;
                let index = self.keep(u32_at(found.more, 4)?, depth)?;
                let more = words([element, index, u32_at(found.more, 8)?]);
                self.add(0, found.info, 0, &more)
            }
            kind::STRUCT | kind::UNION => {
                let fields = self.fields(found.more, depth)?;
                self.add_named(found, &fields)
            }
            kind::ENUM => {
                let values = self.values(found.more, 8)?;
                self.add_named(found, &values)
            }
            kind::ENUM64 => {
                let values = self.values(found.more, 12)?;
                self.add_named(found, &values)
            }
            _ => self.add_named(found, found.more),
        };
        self.numbers.insert(number, kept);
        Ok(kept)
    }

    /// The fields of a struct or union: name, type, offset.
    fn fields(&mut self, fields: &[u8], depth: u32) -> io::Result<Vec<u8>> {
        let mut kept = Vec::with_capacity(fields.len());
        for field in fields.chunks_exact(12) {
            let name = self.name(u32_at(field, 0)?);
            let of_type = self.keep(u32_at(field, 4)?, depth)?;
            kept.extend(words([name, of_type, u32_at(field, 8)?]));
        }
        Ok(kept)
    }

    /// The values of an enumeration, of so many bytes each: name, then what it stands for.
    fn values(&mut self, values: &[u8], size: usize) -> io::Result<Vec<u8>> {
        let mut kept = Vec::with_capacity(values.len());
        for value in values.chunks_exact(size) {
            let name = self.name(u32_at(value, 0)?);
            kept.extend(name.to_ne_bytes());
            kept.extend(&value[4..]);
        }
        Ok(kept)
    }

    fn add_named(&mut self, found: Type<'_>, more: &[u8]) -> u32 {
        let name = self.name(found.name);
        self.add(name, found.info, found.size_or_type, more)
    }

    fn add(&mut self, name: u32, info: u32, size_or_type: u32, more: &[u8]) -> u32 {
        self.types.extend(words([name, info, size_or_type]));
        self.types.extend(more);
        self.count += 1;
        self.count
    }

    fn name(&mut self, name: u32) -> u32 {
        *self.names.entry(name).or_insert_with(|| {
            let at = self.strings.len() as u32;
            self.strings.extend(self.all.name(name));
            self.strings.push(0);
            at
        })
    }

    /// As libbpf reads it.
    pub(super) fn encoded(&self) -> Vec<u8> {
        const HEADER: u32 = 24;
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut encoded = Vec::with_capacity((HEADER + types + strings) as usize);
        encoded.extend(MAGIC.to_ne_bytes());
        encoded.extend([1, 0]); // the version, and no flags
        encoded.extend(words([HEADER, 0, types, types, strings]));
        encoded.extend(&self.types);
        encoded.extend(&self.strings);
        encoded
    }
}
