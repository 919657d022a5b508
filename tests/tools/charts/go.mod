module sitewright.dev/tests/tools/charts

go 1.26.0

// Not for building: the charts inside these modules become git mirrors (testbed::mirror).
require (
	// The tag v25.3.4. NVIDIA's tags are no versions that Go knows, so a module has the commit in its version.
	github.com/NVIDIA/gpu-operator v0.0.0-20250917190837-d73a0086a6ba
	github.com/argoproj/argo-workflows/v4 v4.0.5
	github.com/ceph/ceph-csi-operator v1.0.4
	github.com/cert-manager/cert-manager v1.21.2
	github.com/kserve/kserve v0.20.0
	github.com/kubeflow/trainer/v2 v2.3.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	github.com/rook/rook v1.20.6
	k8s.io/kube-state-metrics/v2 v2.18.0
	sigs.k8s.io/jobset v0.12.0
	sigs.k8s.io/kueue v0.19.2
	volcano.sh/volcano v1.15.1
)
