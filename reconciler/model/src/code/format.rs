//! Formats: sites, blueprints, values, locks.

codes! {
    UNREADABLE_YAML = 101, "text is not YAML as Kubernetes reads it";
    UNKNOWN_KEY = 102, "unknown key";
    WRONG_TYPE = 103, "value of the wrong type";
    DUPLICATE_KEY = 104, "key given twice";
    KEY_NOT_TEXT = 105, "key that is not text";
    NOT_TEXT = 106, "file is not text";
    TOO_LARGE = 107, "input beyond a limit";
    NOT_ONE_DOCUMENT = 108, "not exactly one document";
    WRONG_KIND = 109, "wrong apiVersion or kind";
    MISSING_KEY = 110, "missing key";
    UNKNOWN_VALUE = 111, "value that is not one of those allowed";
    WRONG_FORM = 112, "text that does not have the required form";
    OUT_OF_RANGE = 113, "value out of range";
    NOT_EXACTLY_ONE = 114, "keys that exclude or need each other";
    DUPLICATE_NAME = 115, "name used twice";
    UNKNOWN_COMPONENT = 116, "dependency that does not exist";
    DEPENDENCY_CYCLE = 117, "components that wait for each other";
    BAD_VERSION = 118, "version or range that cannot be read";
    BAD_EXPRESSION = 119, "expression that does not compile";
    BAD_PATH = 120, "path that leaves its folder";
    BAD_FIELD = 121, "field path that cannot be read";
    BROKEN_VALUES_SCHEMA = 122, "values schema of a blueprint that cannot be used";
    REFUSED_BY_SCHEMA = 123, "value that the schema refuses";
}
