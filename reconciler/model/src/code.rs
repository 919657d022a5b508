//! The numbers of all errors and warnings; each has a page in the book under `errors/`.
//!
//! Ranges: 01xx formats, 02xx repository and sources, 03xx rendering, 04xx planning and guards,
//! 05xx applying, 06xx cluster and its API, 07xx health, 08xx the agent, 09xx this machine,
//! 10xx lineage.

use std::fmt;

/// The number and title of one kind of error, for example `SW0101 unknown key`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// The number; printed with four digits.
    pub number: u16,
    /// What is wrong, in a few words; the title of the page in the book.
    pub title: &'static str,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SW{:04}", self.number)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {}", self.title)
    }
}

/// Declares the codes of one stage and the list `ALL` of them.
macro_rules! codes {
    ($($name:ident = $number:literal, $title:literal;)*) => {
        $(#[doc = $title] pub const $name: super::Code = super::Code { number: $number, title: $title };)*
        /// Every code of this stage, in order.
        pub const ALL: &[super::Code] = &[$($name),*];
    };
}

pub mod agent;
pub mod apply;
pub mod cluster;
pub mod format;
pub mod health;
pub mod lineage;
pub mod machine;
pub mod plan;
pub mod render;
pub mod source;

/// Returns every code there is, in order of number.
pub fn all() -> Vec<Code> {
    let stages = [
        format::ALL,
        source::ALL,
        render::ALL,
        plan::ALL,
        apply::ALL,
        cluster::ALL,
        health::ALL,
        agent::ALL,
        machine::ALL,
        lineage::ALL,
    ];
    stages.concat()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_rise_and_are_unique() {
        let all = super::all();
        assert!(all.windows(2).all(|pair| pair[0].number < pair[1].number));
    }
}
