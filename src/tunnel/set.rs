//! Sets of paths: which carried a datagram, which delivered it, which are to.

use std::ops::{BitAnd, BitOr, Sub};

/// A set of paths, a bit for each number. 32 bits on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathSet(pub u32);

impl PathSet {
    /// How many paths there can be.
    pub const LIMIT: usize = u32::BITS as usize;
    /// No path.
    pub const NONE: Self = Self(0);

    /// The path with this number, alone.
    #[inline]
    pub const fn one(path: usize) -> Self {
        Self(1 << path)
    }

    /// Whether there is no path in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many paths are in it.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether the path is in it.
    #[inline]
    pub const fn has(self, path: usize) -> bool {
        self.0 & 1 << path != 0
    }

    /// Adds a path.
    #[inline]
    pub fn insert(&mut self, path: usize) {
        self.0 |= 1 << path;
    }

    /// Whether all its paths are in `other` too.
    #[inline]
    pub const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// The one path in it, if it is one.
    pub const fn only(self) -> Option<usize> {
        if self.len() == 1 { Some(self.0.trailing_zeros() as usize) } else { None }
    }

    /// The paths in it, lowest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let lowest = left.trailing_zeros();
            // Clears the lowest bit that is set.
            left &= left.checked_sub(1)?;
            Some(lowest as usize)
        })
    }
}

impl FromIterator<usize> for PathSet {
    fn from_iter<I: IntoIterator<Item = usize>>(paths: I) -> Self {
        let mut set = Self::NONE;
        paths.into_iter().for_each(|path| set.insert(path));
        set
    }
}

impl BitAnd for PathSet {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for PathSet {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Sub for PathSet {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}
