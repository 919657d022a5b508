module sitewright.dev/tests/tools/charts

go 1.26.0

// Not for building: the charts inside these modules become git mirrors (testbed::mirror).
require (
	github.com/ceph/ceph-csi-operator v1.0.4
	github.com/rook/rook v1.20.6
	sigs.k8s.io/kueue v0.19.2
)
