// The process that holds a pod's namespaces.
module tekton-shared-workspace/hack/cluster/pause

go 1.24
