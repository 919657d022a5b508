//! This machine: programs, disk, arguments.

codes! {
    PROGRAM_MISSING = 901, "a program that is needed is not installed";
    NO_SITE = 902, "no site there";
    WOULD_OVERWRITE = 903, "files that are there would be overwritten";
    UNKNOWN_NUMBER = 904, "no error of this number";
    NEEDS_CONSENT = 905, "nobody agreed to a change that touches running work";
    UNREADABLE_FILE = 906, "file cannot be read or written";
    NO_CACHE_FOLDER = 907, "no folder for the cache";
    BAD_ARGUMENT = 908, "argument that cannot be used";
    CLOCK_SKEW = 909, "clock differs from the server's";
    DISK_FULL = 910, "little space left on disk";
    NO_PULL_REQUEST = 920, "no pull request to comment on";
    NOT_COMMENTED = 921, "the plan could not be written to the pull request";
    BUG = 999, "bug in Sitewright";
}
