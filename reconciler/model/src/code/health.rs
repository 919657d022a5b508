//! Health and waiting.

codes! {
    DEADLINE = 701, "not healthy within its deadline";
}
