//! Errors of the lineage log and of questions to it.

codes! {
    UNUSABLE = 1001, "lineage log cannot be used";
    FULL = 1002, "no space for the lineage log";
    NOT_A_LOG = 1003, "not a lineage log";
    BUSY = 1004, "lineage log has another writer";
    KEY = 1005, "key of the lineage log cannot be used";
    TAMPERED = 1006, "lineage log was changed";
    NOTHING = 1007, "nothing in the log is called so";
    SEVERAL = 1008, "several things are called so";
    FILE = 1009, "file of lineage cannot be used";
    REFUSED = 1010, "reader may not see this";
    UNCOMMITTED = 1011, "code of a run is not a commit on a server";
    SLOW = 1020, "answer takes too long";
    UNKNOWN_ASKER = 1021, "who asks is not known";
    CROWDED = 1022, "too many questions at once";
    BAD_QUESTION = 1023, "question of lineage is not understood";
    UNJUDGED = 1024, "rights of who asks cannot be looked up";
    NO_ANSWER = 1025, "server of lineage gives no answer";
    NOT_SENT = 1040, "lineage could not be sent";
}
