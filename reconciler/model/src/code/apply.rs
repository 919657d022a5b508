//! Applying, pruning, the inventory.

codes! {
    PLAN_CHANGED = 501, "the plan is no longer the one approved";
    INVENTORY_UNREADABLE = 502, "the inventory on the cluster cannot be read";
    INVENTORY_RACE = 503, "someone else changed the inventory";
    LOCKED = 504, "another apply of this site is running";
    LOCK_LOST = 505, "the lock was lost while applying";
    REFUSED = 506, "the server refused an object";
    CONFLICT = 507, "another manager owns a field";
    NOT_THE_SAME = 508, "the object on the cluster is no longer the one that was planned";
    REPLACEMENT_UNPROVEN = 509, "a replacement was not accepted by the server's dry run";
    DELETE_HANGS = 510, "a deletion did not finish in time";
    NOT_READY = 511, "an object was not ready for what depends on it";
    STOPPED = 512, "stopped before the end";
}
