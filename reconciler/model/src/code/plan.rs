//! Planning, guards, gates.

codes! {
    NEEDS_TOMBSTONE = 401, "deletion of data needs a tombstone";
    NEEDS_APPROVAL = 402, "a change that hurts running work needs approval";
    BLAST_RADIUS = 403, "the plan deletes or replaces more than the site allows";
    EMPTY_RENDERING = 404, "the site renders no objects but owns some";
    FIELD_CONFLICT = 405, "another controller owns a field that the site sets";
    NOT_ADOPTED = 406, "an object is there already and belongs to nobody";
    OTHER_SITE = 407, "another site owns the object";
    WOULD_BE_REFUSED = 408, "the server would refuse an object";
    MISSING_EVIDENCE = 409, "something that must be known could not be looked at";
    TERMINATING = 410, "an object is still being deleted";
    REPLACEMENT_REFUSED = 411, "a replacement that the server would not accept";
    CIRCLE = 412, "objects wait for each other in a circle";
    WINDOW_CLOSED = 413, "a change waits for a maintenance window";
    DRAINING = 414, "a change waits for running jobs to finish";
}
