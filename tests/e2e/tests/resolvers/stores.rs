//! Buckets, lakeFS and Iceberg: what the resolvers say, beside what outside clients say.

use std::{fs, path::Path, process::Command};

use jiff::Timestamp;
use serde_json::{Value, json};
use sitewright_model::{
    digest::Digest,
    lineage::{Grade, Relation, Statement},
};
use sitewright_source::{
    Secret, Settings, Url,
    resolve::{
        Catalog, LakeFs, Resolving, S3, S3Login, Stores, Unresolved, prefix_manifest, resolve,
    },
};
use sitewright_testbed::{HttpFiles, S3Server, tools::PythonTools};

use crate::bench::{check, edges, fact};

struct Site {
    settings: Settings,
    stores: Stores,
}

impl Site {
    fn new(stores: Stores) -> Self {
        Self { settings: Settings::new("/nonexistent"), stores }
    }

    fn resolving(&self) -> Resolving<'_> {
        Resolving { stores: &self.stores, ..Resolving::new(&self.settings, Timestamp::now()) }
    }

    fn resolve(&self, id: &str) -> Result<Vec<Statement>, Unresolved> {
        resolve(&id.parse().unwrap(), None, &self.resolving())
    }
}

fn python(script: &str, arguments: &[&str]) -> Value {
    let python = PythonTools::Stores.find().unwrap().join("python");
    let output = Command::new(python).args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

const CLIENT: &str = "
import sys, json, boto3
from botocore.config import Config
s3 = boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id=sys.argv[2],
    aws_secret_access_key=sys.argv[3], region_name='us-east-1', config=Config(s3={'addressing_style': 'path'}))
";

fn client(server: &S3Server, script: &str) -> Value {
    let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
    python(&format!("{CLIENT}{script}"), &[&server.url(), key, secret])
}

fn site(server: &S3Server, secret: &str) -> Site {
    let login = S3Login {
        access_key: S3Server::ACCESS_KEY.into(),
        secret_key: Secret::new(secret),
        session: None,
    };
    let endpoint = Url::parse(&server.url()).unwrap();
    let (region, buckets) = ("us-east-1".to_owned(), None);
    let s3 = vec![S3 { endpoint, region, buckets, login: Some(login), list: true }];
    Site::new(Stores { s3, ..Stores::default() })
}

#[test]
fn versions_of_objects_are_found_with_the_checksums_that_are_ones_of_the_content() {
    let server = S3Server::start().unwrap();
    let made = client(
        &server,
        "
s3.create_bucket(Bucket='data')
s3.put_bucket_versioning(Bucket='data', VersioningConfiguration={'Status': 'Enabled'})
key = 'set/ä b+c.csv'
one = s3.put_object(Bucket='data', Key=key, Body=b'one', ChecksumAlgorithm='SHA256')
two = s3.put_object(Bucket='data', Key=key, Body=b'two', ChecksumAlgorithm='CRC32')
up = s3.create_multipart_upload(Bucket='data', Key='large', ChecksumAlgorithm='SHA256')
part = s3.upload_part(Bucket='data', Key='large', UploadId=up['UploadId'], PartNumber=1, Body=b'x' * 1000, ChecksumAlgorithm='SHA256')
done = s3.complete_multipart_upload(Bucket='data', Key='large', UploadId=up['UploadId'], MultipartUpload={'Parts': [
    {'PartNumber': 1, 'ETag': part['ETag'], 'ChecksumSHA256': part['ChecksumSHA256']}]})
gone = s3.put_object(Bucket='data', Key='gone', Body=b'gone')
marker = s3.delete_object(Bucket='data', Key='gone')
s3.create_bucket(Bucket='plain')
s3.put_object(Bucket='plain', Key='x', Body=b'plain', ChecksumAlgorithm='SHA256')
print(json.dumps({'one': one['VersionId'], 'two': two['VersionId'], 'large': done['VersionId'],
    'gone': gone['VersionId'], 'marker': marker.get('VersionId')}))",
    );
    let version = |name: &str| made[name].as_str().unwrap().to_owned();
    let site = site(&server, S3Server::SECRET_KEY);

    // white space is not in an identity, so the name of such an object has none
    let head = |key: &str, name: &str| format!("data:s3:data/{key}@{}", version(name));
    let large = head("large", "large");
    let said = site.resolve(&large).unwrap();
    check(&said);
    assert_eq!(fact(&said, &large, "size"), Some("1000"));
    assert_eq!(fact(&said, &large, "sha256"), None, "a checksum of parts is none of the content");
    assert!(fact(&said, &large, "checksumOfParts.sha256").unwrap().ends_with("-1"), "{said:?}");
    assert!(!format!("{said:?}").to_lowercase().contains("etag"));

    let gone = head("gone", "gone");
    assert_eq!(fact(&site.resolve(&gone).unwrap(), &gone, "size"), Some("4"));
    let deleted = site.resolve("ref:s3://data/gone").unwrap_err();
    assert!(matches!(deleted, Unresolved::Gone(_)), "{deleted}");
    let marker = site.resolve(&head("gone", "marker")).unwrap_err();
    assert!(matches!(marker, Unresolved::Gone(_)), "{marker}");

    // without versions the content itself is what a name led to, where its digest is known
    let led = site.resolve("ref:s3://plain/x").unwrap();
    let content = format!("data:sha256:{}", Digest::of("plain").hex());
    assert_eq!(edges(&led, "ref:s3://plain/x", Relation::LedTo, Grade::Inferred), [content]);
    let led = site.resolve("ref:s3://data/large").unwrap();
    assert_eq!(edges(&led, "ref:s3://data/large", Relation::LedTo, Grade::Inferred), [large]);

    // the prefix, as it is at the start and at the end
    let before = prefix_manifest("s3://data/set/", true, &site.resolving()).unwrap();
    let object = &before.objects["set/ä b+c.csv"];
    assert_eq!((object.version.as_deref(), object.size), (Some(version("two").as_str()), 3));
    client(
        &server,
        "s3.put_object(Bucket='data', Key='set/n', Body=b'n', ChecksumAlgorithm='SHA256'); print(0)",
    );
    let after = prefix_manifest("s3://data/set/", true, &site.resolving()).unwrap();
    assert_eq!(before.differences(&after), ["set/n"]);
    assert_eq!(after.objects["set/n"].sha256, Some(Digest::of("n").hex()));
    assert_ne!(before.id(), after.id());
    assert_eq!(
        after.id(),
        prefix_manifest("s3://data/set/", true, &site.resolving()).unwrap().id()
    );

    let wrong = self::site(&server, "wrong").resolve("ref:s3://data/large").unwrap_err();
    assert!(matches!(wrong, Unresolved::Refused(_)), "{wrong}");
    assert!(!format!("{wrong:?}").contains("wrong\""));
    let nowhere = Site::new(Stores::default()).resolve("ref:s3://data/large").unwrap_err();
    assert!(matches!(nowhere, Unresolved::Refused(_)), "{nowhere}");
}

#[test]
fn a_version_with_a_digest_of_the_whole_content_has_it() {
    let server = S3Server::start().unwrap();
    let made = client(
        &server,
        "
s3.create_bucket(Bucket='data')
s3.put_bucket_versioning(Bucket='data', VersioningConfiguration={'Status': 'Enabled'})
print(json.dumps(s3.put_object(Bucket='data', Key='a/b', Body=b'one', ChecksumAlgorithm='SHA256')['VersionId']))
s3.put_object(Bucket='data', Key='a/b', Body=b'two')",
    );
    let id = format!("data:s3:data/a/b@{}", made.as_str().unwrap());
    let said = site(&server, S3Server::SECRET_KEY).resolve(&id).unwrap();
    assert_eq!(fact(&said, &id, "sha256"), Some(Digest::of("one").hex().as_str()));
    assert_eq!(fact(&said, &id, "resolution"), Some("found"));
}

fn write(folder: &Path, path: &str, value: &Value) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, value.to_string()).unwrap();
}

/// The real server is not to be had from the module proxy; the answers are those of its API's description.
#[test]
fn commits_and_branches_of_lakefs_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let hex = "ab".repeat(32);
    let commit = json!({ "id": hex, "parents": ["cd"], "committer": "ann", "message": "x",
        "creation_date": 1_700_000_000, "meta_range_id": "ef", "metadata": {} });
    write(folder.path(), &format!("api/v1/repositories/images/commits/{hex}"), &commit);
    let branch = json!({ "id": "main", "commit_id": hex });
    write(folder.path(), "api/v1/repositories/images/branches/main", &branch);
    let server = HttpFiles::serve(folder.path()).unwrap();
    let endpoint = Url::parse(&server.url()).unwrap();
    let lakefs = LakeFs { endpoint, access_key: "k".into(), secret_key: Secret::new("s") };
    let site = Site::new(Stores { lakefs: vec![lakefs], ..Stores::default() });

    let id = format!("data:lakefs:images/{hex}");
    let said = site.resolve(&id).unwrap();
    check(&said);
    assert_eq!(fact(&said, &id, "metaRange"), Some("ef"));
    assert_eq!(fact(&said, &id, "committedAt"), Some("2023-11-14T22:13:20Z"));
    assert!(!format!("{said:?}").contains("ann"));
    let name = "ref:lakefs://images/main/train/";
    let led = site.resolve(name).unwrap();
    assert_eq!(edges(&led, name, Relation::LedTo, Grade::Inferred), [id]);
    let gone = site.resolve("ref:lakefs://images/other").unwrap_err();
    assert!(matches!(gone, Unresolved::Gone(_)), "{gone}");
}

#[test]
fn a_table_of_iceberg_leads_to_its_snapshot_as_pyiceberg_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = "
import sys, json, pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
home = sys.argv[1]
catalog = SqlCatalog('c', uri='sqlite:///' + home + '/c.db', warehouse='file://' + home + '/warehouse')
catalog.create_namespace('lab')
table = catalog.create_table('lab.cells', schema=pa.schema([('x', pa.int64())]))
table.append(pa.table({'x': [1, 2]}))
first = table.current_snapshot().snapshot_id
table.manage_snapshots().create_tag(first, 'v1').commit()
table.append(pa.table({'x': [3]}))
print(json.dumps({'uuid': str(table.metadata.table_uuid), 'first': str(first),
    'current': str(table.current_snapshot().snapshot_id), 'metadata': json.loads(table.metadata.model_dump_json())}))";
    let made = python(script, &[folder.path().to_str().unwrap()]);
    let served = folder.path().join("served");
    let answer =
        json!({ "metadata-location": "s3://x", "metadata": made["metadata"], "config": {} });
    write(&served, "v1/namespaces/lab/tables/cells", &answer);
    let server = HttpFiles::serve(&served).unwrap();
    let catalog = Catalog {
        name: "main".into(),
        endpoint: Url::parse(&server.url()).unwrap(),
        prefix: None,
        token: None,
    };
    let site = Site::new(Stores { iceberg: vec![catalog], ..Stores::default() });
    let snapshot = |name: &str| {
        let (uuid, id) = (made["uuid"].as_str().unwrap(), made[name].as_str().unwrap());
        format!("data:iceberg:{uuid}@{id}")
    };
    let name = "ref:iceberg://main/lab.cells";
    let said = site.resolve(name).unwrap();
    check(&said);
    assert_eq!(edges(&said, name, Relation::LedTo, Grade::Inferred), [snapshot("current")]);
    assert_eq!(fact(&said, &snapshot("current"), "records"), Some("3"));
    let pinned = format!("data:uri:iceberg://main/lab.cells@{}", made["first"].as_str().unwrap());
    let said = site.resolve(&pinned).unwrap();
    assert_eq!(edges(&said, &pinned, Relation::LedTo, Grade::Resolved), [snapshot("first")]);
    assert_eq!(fact(&said, &snapshot("first"), "records"), Some("2"));
    let tagged = "data:uri:iceberg://main/lab.cells@v1";
    let said = site.resolve(tagged).unwrap();
    assert_eq!(edges(&said, tagged, Relation::LedTo, Grade::Inferred), [snapshot("first")]);
    let gone = site.resolve("ref:iceberg://main/lab.other").unwrap_err();
    assert!(matches!(gone, Unresolved::Gone(_)), "{gone}");
}
