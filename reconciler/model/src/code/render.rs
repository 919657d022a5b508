//! Values, templates, rendered objects.

codes! {
    TEMPLATE_FAILED = 301, "template failed";
    TEMPLATE_UNDEFINED = 302, "template uses a value that is not there";
    TEMPLATE_TOO_MUCH = 303, "template does too much";
    TEMPLATE_MISSING = 304, "template file is not there";
    OUTPUT_NOT_YAML = 305, "rendered text is not YAML";
    NOT_AN_OBJECT = 306, "rendered document is not a Kubernetes object";
    GENERATE_NAME = 307, "generateName names a new object each time";
    DUPLICATE_OBJECT = 308, "one object is declared twice";
    CAPABILITY_MISSING = 309, "nothing provides what a component requires";
    DEPENDENCY_CYCLE = 310, "components wait for each other";
    HOOKS_LEFT_OUT = 311, "helm hooks are left out";
    EXCLUDE_UNUSED = 312, "exclude fits no object";
    CONDITION = 313, "condition of a source is not true or false";
    SOURCE_VALUES = 314, "values of a chart are not a map";
    UNKNOWN_SOURCE = 315, "upstream names no source of the blueprint";
    TOO_MUCH_OUTPUT = 316, "component renders to too much";
    SECRET_IN_NAME = 317, "secret value used as a name";
    BLUEPRINT_MISSING = 318, "blueprint not found";
    BLUEPRINT_VERSION = 319, "no fitting version of a blueprint";
    BLUEPRINT_FOLDER = 320, "blueprint folder and blueprint.yaml disagree";
    NAMESPACE_MISSING = 321, "object names no namespace";
}
