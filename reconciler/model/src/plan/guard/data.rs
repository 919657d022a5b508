//! Kinds whose objects are data: deleting one deletes what it stands for.
//!
//! Incidents: a generator or a parent that was edited by mistake took every child with it
//! (argoproj/argo-cd#9227, argoproj/argo-cd#18780); an operator that is told to delete a database does
//! so. `prune: disabled` on the object was not enough, since the volume below was of reclaim policy
//! Delete (devantler-tech/platform#3369). Every engine's guard for this is opt-in, object by object.

use super::{Doomed, Finding};
use crate::object::GroupKind;

/// Group, kind, and what its deletion destroys.
const KINDS: &[(&str, &str, &str)] = &[
    ("ceph.rook.io", "CephCluster", "the Ceph cluster and everything stored in it"),
    ("ceph.rook.io", "CephBlockPool", "the pool and every block image in it"),
    ("ceph.rook.io", "CephBlockPoolRadosNamespace", "every block image in the RADOS namespace"),
    ("ceph.rook.io", "CephFilesystem", "the file system and every file in it"),
    ("ceph.rook.io", "CephFilesystemSubVolumeGroup", "every subvolume of the group"),
    ("ceph.rook.io", "CephObjectStore", "the object store and every bucket in it"),
    ("ceph.rook.io", "CephObjectStoreUser", "the user, its keys, and its hold on its buckets"),
    ("ceph.rook.io", "CephObjectRealm", "the realm of the object stores in it"),
    ("ceph.rook.io", "CephObjectZoneGroup", "the zone group of the object stores in it"),
    ("ceph.rook.io", "CephObjectZone", "the zone and its pools"),
    ("objectbucket.io", "ObjectBucketClaim", "the bucket, where its class says Delete"),
    ("objectbucket.io", "ObjectBucket", "the bucket, where its class says Delete"),
    (
        "",
        "PersistentVolume",
        "the volume's place in the cluster, and its data where it is of reclaim policy Delete",
    ),
    ("snapshot.storage.k8s.io", "VolumeSnapshot", "the snapshot, where its class says Delete"),
    (
        "snapshot.storage.k8s.io",
        "VolumeSnapshotContent",
        "the snapshot, where its policy is Delete",
    ),
    ("groupsnapshot.storage.k8s.io", "VolumeGroupSnapshot", "the snapshots of the group"),
    ("kubeflow.org", "Profile", "the user's namespace with all notebooks, claims and runs in it"),
    ("kafka.strimzi.io", "Kafka", "the Kafka cluster, and its topics where its claims go with it"),
    ("kafka.strimzi.io", "KafkaNodePool", "the brokers of the pool, and their logs"),
    ("kafka.strimzi.io", "KafkaTopic", "the topic and every message in it"),
    ("postgresql.cnpg.io", "Cluster", "the database cluster and its volumes"),
    ("postgresql.cnpg.io", "Database", "the database, where its reclaim policy is delete"),
    ("acid.zalan.do", "postgresql", "the database cluster and its volumes"),
    (
        "postgres-operator.crunchydata.com",
        "PostgresCluster",
        "the database cluster and its volumes",
    ),
    ("mysql.oracle.com", "InnoDBCluster", "the database cluster"),
    ("k8s.mariadb.com", "MariaDB", "the database"),
    ("mongodbcommunity.mongodb.com", "MongoDBCommunity", "the database"),
    ("minio.min.io", "Tenant", "the object store and every bucket in it"),
    ("elasticsearch.k8s.elastic.co", "Elasticsearch", "the search cluster and its indices"),
    ("opensearch.opster.io", "OpenSearchCluster", "the search cluster and its indices"),
    ("longhorn.io", "Volume", "the volume and its replicas"),
    ("longhorn.io", "BackingImage", "the image that volumes are based on"),
];

/// Returns the kinds whose objects are data.
pub(super) fn kinds() -> impl Iterator<Item = GroupKind> {
    KINDS.iter().map(|(group, kind, _)| GroupKind::new(*group, *kind))
}

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    let kind = &doomed.id.kind;
    let (_, _, what) =
        KINDS.iter().find(|(group, name, _)| kind.group == *group && kind.kind == *name)?;
    Some(Finding::Stake(format!("its deletion destroys {what}")))
}

/// Returns whether objects of a kind of this name, whichever group, are data.
pub(super) fn is_named_like_data(kind: &str) -> bool {
    KINDS.iter().any(|(_, name, _)| *name == kind)
}
