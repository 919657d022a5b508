//! Repositories, charts, manifests, caches.

codes! {
    NOT_A_REPOSITORY = 201, "no git repository there";
    BAD_LOCATION = 202, "not the location of a folder";
    REPOSITORY_UNREACHABLE = 203, "git server does not answer";
    REPOSITORY_REFUSED = 204, "git server refuses access";
    UNKNOWN_REFERENCE = 205, "no such branch, tag or commit";
    EMPTY_REPOSITORY = 206, "repository has no commit";
    MISSING_PATH = 207, "no such file or folder";
    WRONG_KIND = 208, "file and folder confused";
    PATH_ESCAPES = 209, "path leaves the repository";
    LINK_LOOP = 210, "symbolic link leads in a circle";
    SUBMODULE = 211, "submodules are not read";
    LFS_POINTER = 212, "file is kept in Git LFS";
    HOSTILE_NAME = 213, "name that no file may have";
    TOO_LARGE = 214, "larger than Sitewright reads";
    BROKEN_REPOSITORY = 215, "git repository is damaged or incomplete";
    GIT_PROTOCOL = 216, "git server answers in a way that is not understood";
    UNREADABLE = 217, "file or folder cannot be read";
    OFFLINE = 218, "network needed while offline";
    BAD_MIRRORS = 219, "file of mirrors cannot be used";
    DOWNLOAD_FAILED = 220, "download failed";
    BAD_SOURCE = 221, "source does not say where it is";
    CHART_NOT_FOUND = 222, "no such chart or version";
    DIGEST_MISMATCH = 223, "content is not what was pinned";
    NOT_PINNED = 224, "source is not pinned";
    BAD_ARCHIVE = 225, "archive cannot be unpacked";
    NOT_A_CHART = 226, "not a Helm chart";
    VERSION_MISMATCH = 227, "chart has another version";
    REGISTRY_FAILED = 228, "OCI registry answers in a way that is not understood";
    CHART_DEPENDENCY = 229, "chart without the charts it depends on";
    HELM_MISSING = 230, "helm is not installed";
    HELM_VERSION = 231, "helm of an unsupported version";
    HELM_FAILED = 232, "helm could not render the chart";
    HELM_STOPPED = 233, "helm took too long or printed too much";
    NOT_DETERMINISTIC = 234, "chart renders differently each time";
    CACHE_UNUSABLE = 240, "cache cannot be used";
}
