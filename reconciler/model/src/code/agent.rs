//! The agent: what it follows, and how it is told.

codes! {
    SITE_TAKEN = 801, "another SiteSync follows this site on this cluster";
    SECRET_UNUSABLE = 802, "a Secret that a SiteSync names cannot be used";
    BAD_SYNC = 803, "a SiteSync cannot be followed as it is";
    NO_DEFINITION = 804, "the cluster does not know the kind SiteSync";
    HISTORY_REWRITTEN = 805, "the history of the branch or tag was rewritten";
    UNDELIVERED = 820, "a notification does not get there";
}
