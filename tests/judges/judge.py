"""Asks programs that others wrote whether our exports are what they should be.

judge.py KIND OPTION... -- FILE...: prints one complaint a line, led by the number of its file, and fails if there is
any. Nothing here may use the network.
"""

import importlib
import json
import pathlib
import pkgutil
import socket
import sys

HERE = pathlib.Path(__file__).parent
COMPLAINTS: list[str] = []
# the number of the file that is judged
AT = 0


def complain(text: str) -> None:
    COMPLAINTS.append(f"{AT} " + text.replace("\n", " "))


def no_network(*_args, **_kwargs):
    raise OSError("a judge asked for the network")


def load(path: str):
    return json.loads(pathlib.Path(path).read_text())


# === OpenLineage ===


def schema_of(cls):
    """The schema that a generated class says it is of, or nothing."""
    try:
        return cls._get_schema()
    except Exception:  # noqa: BLE001 - abstract classes have none
        return None


def generated_facets() -> dict:
    """The facet classes that OpenLineage generates from its schemas, by the address of the schema."""
    import openlineage.client.generated as generated

    found = {}
    for module in pkgutil.iter_modules(generated.__path__):
        module = importlib.import_module(f"{generated.__name__}.{module.name}")
        for cls in vars(module).values():
            if isinstance(cls, type) and hasattr(cls, "_get_schema") and schema_of(cls):
                found[schema_of(cls)] = cls
    return found


def keys(what: str, value: dict, required: set, optional: set) -> None:
    for key in value.keys() - required - optional:
        complain(f"{what}: unknown key {key}")
    for key in required - value.keys():
        complain(f"{what}: no {key}")


class OpenLineage:
    """Core shape with formats, each facet by its `_schemaURL`, no key that nobody knows."""

    def __init__(self, own: str, upstream: str | None):
        import cattrs
        import jsonschema
        import referencing

        self.facets = generated_facets()
        self.cattrs = cattrs
        self.converter = cattrs.Converter(forbid_extra_keys=True)
        self.checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        self.jsonschema = jsonschema
        self.own = {schema["$id"]: schema for schema in map(load, sorted(map(str, pathlib.Path(own).glob("openlineage-*.json"))))}
        self.registry = None
        if upstream:
            schemas = [load(str(path)) for path in pathlib.Path(upstream, "spec").rglob("*.json") if "tests" not in path.parts]
            schemas = [schema for schema in schemas if "$id" in schema]
            pairs = [(schema["$id"], referencing.Resource.from_contents(schema)) for schema in schemas]
            self.registry = referencing.Registry().with_resources(pairs)

    def check(self, schema: dict, value, what: str) -> None:
        registry = {"registry": self.registry} if self.registry is not None else {}
        validator = self.jsonschema.Draft202012Validator(schema, format_checker=self.checker, **registry)
        for error in validator.iter_errors(value):
            complain(f"{what}: {error.json_path}: {error.message}")

    def format(self, what: str, value, format: str) -> None:
        self.check({"type": "string", "format": format}, value, what)

    def facet(self, what: str, facet: dict) -> None:
        address = facet.get("_schemaURL", "")
        self.format(f"{what} _producer", facet.get("_producer"), "uri")
        self.format(f"{what} _schemaURL", address, "uri")
        if address in self.own:
            self.check(self.own[address], facet, what)
            return
        if address not in self.facets:
            complain(f"{what}: nobody knows the schema {address}")
            return
        body = {key: value for key, value in facet.items() if key != "_schemaURL"}
        try:
            self.converter.structure(body, self.facets[address])
        except self.cattrs.BaseValidationError as error:
            for line in self.cattrs.transform_error(error, what):
                complain(line)
        except (TypeError, ValueError) as error:
            complain(f"{what}: {error}")
        if self.registry is not None:
            self.check({"$ref": address}, facet, what)

    def all_facets(self, what: str, facets: dict) -> None:
        for name, facet in facets.items():
            self.facet(f"{what} {name}", facet)

    def dataset(self, what: str, dataset: dict) -> None:
        keys(what, dataset, {"namespace", "name"}, {"facets"})
        self.all_facets(what, dataset.get("facets", {}))

    def event(self, at: int, event: dict) -> None:
        what = f"event {at}"
        base = {"eventTime", "producer", "schemaURL"}
        self.format(f"{what} eventTime", event.get("eventTime"), "date-time")
        self.format(f"{what} producer", event.get("producer"), "uri")
        core = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
        if event.get("schemaURL") not in {core + "RunEvent", core + "DatasetEvent"}:
            complain(f"{what}: schemaURL {event.get('schemaURL')}")
        elif self.registry is not None:
            self.check({"$ref": event["schemaURL"]}, event, what)
        if "dataset" in event:
            keys(what, event, base | {"dataset"}, set())
            self.dataset(f"{what} dataset", event["dataset"])
            return
        keys(what, event, base | {"eventType", "run", "job"}, {"inputs", "outputs"})
        if event.get("eventType") not in {"START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER"}:
            complain(f"{what}: eventType {event.get('eventType')}")
        keys(f"{what} run", event["run"], {"runId"}, {"facets"})
        self.format(f"{what} runId", event["run"].get("runId"), "uuid")
        keys(f"{what} job", event["job"], {"namespace", "name"}, {"facets"})
        self.all_facets(f"{what} run", event["run"].get("facets", {}))
        self.all_facets(f"{what} job", event["job"].get("facets", {}))
        for side in ("inputs", "outputs"):
            for order, dataset in enumerate(event.get(side, [])):
                self.dataset(f"{what} {side}[{order}]", dataset)


def openlineage(own: str, upstream: str | None = None):
    judge = OpenLineage(own, upstream)
    return lambda events: judge_events(judge, events)


def judge_events(judge: OpenLineage, events: str) -> None:
    ended: set = set()
    for at, event in enumerate(load(events)):
        judge.event(at, event)
        run = event.get("run", {}).get("runId")
        if run is not None and run in ended:
            complain(f"event {at}: the run {run} has ended before")
        if event.get("eventType") in {"COMPLETE", "FAIL", "ABORT"}:
            ended.add(run)


# === RO-Crate ===


def rocrate():
    import rocrate as holder
    from rocrate_validator.utils import document_loader

    context = load(str(pathlib.Path(holder.__file__).parent / "data" / "ro-crate.jsonld"))
    known = {"https://w3id.org/ro/crate/1.1/context": context}

    def fetch(url: str):
        if url not in known:
            raise OSError(f"the context {url} is not here")
        return known[url]

    document_loader._fetch_json_ld = fetch
    document_loader.install_document_loader()
    return judge_crate


def judge_crate(metadata: str) -> None:
    from rocrate_validator import services
    from rocrate_validator.models import Severity

    folder = pathlib.Path(metadata).parent
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="process-run-crate-0.5",
        requirement_severity=Severity.RECOMMENDED,
        metadata_only=True,
        no_cache=True,
        # the data is elsewhere, and nobody asks for it here
        skip_checks=["ro-crate-1.1_28.1"],
    )
    result = services.validate(settings)
    for issue in result.get_issues(Severity.RECOMMENDED):
        complain(f"{issue.severity.name} {issue.check.identifier} {issue.message}")


# === W3C PROV ===


def prov():
    return judge_prov


def judge_prov(document: str) -> None:
    from prov.model import ProvDocument

    text = pathlib.Path(document).read_text()
    first = ProvDocument.deserialize(content=text, format="json")
    again = ProvDocument.deserialize(content=first.serialize(format="json"), format="json")
    if first != again:
        complain("the document is another one after a round trip")
    ours = json.loads(text)
    count = sum(len(records) for kind, records in ours.items() if kind != "prefix")
    if len(first.get_records()) != count:
        complain(f"{count} records became {len(first.get_records())}")
    for record in first.get_records():
        for name, value in record.formal_attributes:
            if name.localpart.endswith("Time") and isinstance(value, str):
                complain(f"{record}: {name} is no time")


# === in-toto and DSSE ===


def statement(payload: bytes) -> None:
    import in_toto_attestation.predicates.provenance.v1.provenance_pb2 as provenance
    from google.protobuf.json_format import ParseDict, ParseError
    from in_toto_attestation.v1 import statement_pb2
    from in_toto_attestation.v1.statement import Statement

    body = json.loads(payload)
    try:
        parsed = ParseDict(body, statement_pb2.Statement())
        Statement.copy_from_pb(parsed).validate()
        predicate = ParseDict(body["predicate"], provenance.Provenance())
    except (ParseError, ValueError, KeyError) as error:
        complain(f"statement: {error}")
        return
    for subject in body["subject"]:
        for name, value in subject["digest"].items():
            if not value or set(value) - set("0123456789abcdef"):
                complain(f"subject: {name} is not in lowercase hex")
    definition = predicate.build_definition
    for what, value in {
        "buildType": definition.build_type,
        "externalParameters": definition.external_parameters,
        "builder.id": predicate.run_details.builder.id,
    }.items():
        if not value:
            complain(f"predicate: no {what}")
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor

    for dependency in definition.resolved_dependencies:
        try:
            ResourceDescriptor.copy_from_pb(dependency).validate()
        except ValueError as error:
            complain(f"resolvedDependencies: {error}")


def dsse_verify(public_hex: str, keyid: str = "ours"):
    return lambda envelope: judge_envelope(envelope, public_hex, keyid)


def judge_envelope(envelope: str, public_hex: str, keyid: str) -> None:
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    key = SSlibKey(keyid, "ed25519", "ed25519", {"public": public_hex})
    ours = load(envelope)
    try:
        parsed = Envelope.from_dict(ours)
        parsed.verify([key], 1)
    except (VerificationError, ValueError, KeyError) as error:
        complain(f"envelope: {error}")
        return
    if parsed.payload_type != "application/vnd.in-toto+json":
        complain(f"envelope: payloadType {parsed.payload_type}")
    statement(parsed.payload)


def dsse_sign():
    """Signs a payload; the answer goes beside it."""
    return sign_payload


def sign_payload(payload: str) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    signer = CryptoSigner(Ed25519PrivateKey.generate())
    envelope = Envelope(pathlib.Path(payload).read_bytes(), "application/vnd.in-toto+json", {})
    envelope.sign(signer)
    answer = {"envelope": envelope.to_dict(), "public": signer.public_key.keyval["public"]}
    pathlib.Path(payload).with_name("answer.json").write_text(json.dumps(answer))


# === OpenAPI ===


def openapi():
    from openapi_spec_validator import OpenAPIV31SpecValidator

    return lambda document: judge_openapi(OpenAPIV31SpecValidator, document)


def judge_openapi(validator, document: str) -> None:
    for error in validator(load(document)).iter_errors():
        place = "/".join(str(part) for part in getattr(error, "absolute_path", []))
        complain(f"{place}: {getattr(error, 'message', error)}".splitlines()[0])


KINDS = {
    "openapi": openapi,
    "openlineage": openlineage,
    "rocrate": rocrate,
    "prov": prov,
    "dsse-verify": dsse_verify,
    "dsse-sign": dsse_sign,
}

if __name__ == "__main__":
    socket.socket.connect = no_network
    socket.getaddrinfo = no_network
    end = sys.argv.index("--")
    judge = KINDS[sys.argv[1]](*sys.argv[2:end])
    for AT, file in enumerate(sys.argv[end + 1 :]):
        judge(file)
    print("\n".join(COMPLAINTS))
    sys.exit(1 if COMPLAINTS else 0)
