//! Answers about lineage, for people.

mod answers;
mod tree;

pub use self::{
    answers::{difference, explanation, gaps, reproduction},
    tree::text,
};
