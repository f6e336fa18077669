//! Bytes read as a program: what a target does next, and with which values.

/// A cursor over a target's bytes. Behind the end everything is 0, so that every prefix of an input is an input.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let part = self.take(N);
        out[..part.len()].copy_from_slice(part);
        out
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn bool(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// A small number as a rule, any number now and then.
    pub(crate) fn small(&mut self) -> u32 {
        match self.byte() {
            255 => self.u32(),
            254 => u32::MAX,
            n => n.into(),
        }
    }

    /// At most `n` bytes, fewer at the end.
    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (part, rest) = self.rest.split_at(n.min(self.rest.len()));
        self.rest = rest;
        part
    }

    /// A length of 16 bits and that many bytes.
    pub(crate) fn string(&mut self) -> &'a [u8] {
        let len = self.u16();
        self.take(len.into())
    }

    /// One of the first `n` numbers; 0 if there is none.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }
}
