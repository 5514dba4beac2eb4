# A node: containerd and a kubelet in mount, host name and process namespaces of their own, in the node's network namespace.
# shellcheck shell=bash

# The addresses of a node's pods.
pods4() { echo "198.18.$((63 + $1)).0/24"; }
pods6() { echo "fd00:18:64:$1::/64"; }

# The version 2 hierarchy of cgroups: the only one on most machines, beside others on some.
cgroup2() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; else echo /sys/fs/cgroup/unified; fi
}

# A node has its own cores on a real cluster. Here, its weight against each process outside of it is that of ten processes,
# so that a busy control plane does not slow its pods down.
node_cgroup() {
  local name=sluice-n$1 hierarchy
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    for hierarchy in cpu cpuset memory pids io; do
      echo "+$hierarchy" > /sys/fs/cgroup/cgroup.subtree_control 2> /dev/null || true
    done
    mkdir -p "/sys/fs/cgroup/$name"
    echo 1000 > "/sys/fs/cgroup/$name/cpu.weight"
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    mkdir -p "$hierarchy$name"
    [ ! -f "$hierarchy/cpu.shares" ] || echo 10240 > "$hierarchy$name/cpu.shares"
    # A new cgroup has no CPU and no memory node.
    if [ -f "$hierarchy/cpuset.cpus" ]; then
      cat "$hierarchy/cpuset.cpus" > "$hierarchy$name/cpuset.cpus"
      cat "$hierarchy/cpuset.mems" > "$hierarchy$name/cpuset.mems"
    fi
  done
}

node_configuration() {
  local node=$1 directory=$2
  cat > "$directory/cni/10-e2e.conflist" << CNI
{"cniVersion": "0.4.0", "name": "e2e", "plugins": [
  {"type":"${CNI:-bridge}","bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true, "mtu": 1500, "ipam": {
    "type": "host-local", "dataDir": "/run/cni-ipam", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    "ranges": [[{"subnet": "$(pods4 "$node")"}], [{"subnet": "$(pods6 "$node")"}]]}},
  {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}]}
CNI
  cat > "$directory/containerd.toml" << TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:sandbox"
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_plugins)"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
TOML
  cat > "$directory/kubelet.yaml" << KUBELET
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /sluice-n$node
enforceNodeAllocatable: []
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [$DNS4]
clusterDomain: cluster.local
failSwapOn: false
resolvConf: $directory/resolv.conf
# The disk of the machine may be nearly full of other things.
evictionHard: {nodefs.available: 1%, imagefs.available: 1%, memory.available: 100Mi}
imageGCHighThresholdPercent: 100
serializeImagePulls: false
maxPods: 200
healthzBindAddress: 127.0.0.1
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
KUBELET
  echo "nameserver $CP4" > "$directory/resolv.conf"
  printf '127.0.0.1 localhost\n%s n%s\n' "$(node4 "$node")" "$node" > "$directory/hosts"
}

# The first process of the node. It runs in the node's namespaces, where /run and /var/lib are the node's.
node_init() {
  local node=$1 directory=$2
  cat << INIT
mount --make-rprivate /
hostname n$node
mkdir -p /etc/cni/net.d /var/lib/kubelet /var/lib/containerd /var/log/pods /var/log/containers
mount --bind $directory/run /run
mkdir -p /run/netns /run/lock /run/cgroup2 /run/bpf
mount --bind $directory/kubelet /var/lib/kubelet
mount --bind $directory/containerd /var/lib/containerd
mount --bind $directory/hosts /etc/hosts
mount --bind $directory/cni /etc/cni/net.d
mount --bind $directory/podlogs /var/log/pods
mount --bind $directory/containerlogs /var/log/containers
# A new mount of /sys shows the interfaces of the network namespace.
mount --rbind /sys/fs/cgroup $directory/cgroup
mount -t sysfs sysfs /sys
mount --rbind $directory/cgroup /sys/fs/cgroup
mount --bind $(cgroup2)/sluice-n$node /run/cgroup2
mount -t bpf bpf /run/bpf || true
mount --make-rshared /
touch /run/xtables.lock
$(program containerd) --config $directory/containerd.toml >> $LOG/containerd-n$node.log 2>&1 &
until ctr version > /dev/null 2>&1; do sleep 0.2; done
for image in $IMAGES/*.tar; do
  done=$directory/imported/\$(basename \$image)-\$(stat -c %Y \$image)
  [ -f \$done ] || { ctr -n k8s.io images import \$image > /dev/null && touch \$done; }
done
$(program kubelet) --config=$directory/kubelet.yaml --kubeconfig=$PKI/kubelet-n$node.kubeconfig --hostname-override=n$node \
  --node-ip=$(node4 "$node"),$(node6 "$node") --root-dir=/var/lib/kubelet --tls-cert-file=$PKI/kubelet-n$node.crt \
  --tls-private-key-file=$PKI/kubelet-n$node.key --v=2 >> $LOG/kubelet-n$node.log 2>&1 &
# Also reaps the processes of containers.
while :; do wait -n || sleep 1; done
INIT
}

start_node() {
  local node=$1 directory=$STATE/nodes/n$1
  # The kubelet completes this object. Without it, the controller manager would give the ranges to Nodes in the order in
  # which they register.
  k apply -f - > /dev/null << NODE
{apiVersion: v1, kind: Node, metadata: {name: n$node, labels: {topology.kubernetes.io/zone: z$node}},
 spec: {podCIDR: $(pods4 "$node"), podCIDRs: [$(pods4 "$node"), "$(pods6 "$node")"]}}
NODE
  mkdir -p "$directory"/{run,kubelet,containerd,cni,podlogs,containerlogs,cgroup,imported}
  node_cgroup "$node"
  node_configuration "$node" "$directory"
  node_init "$node" "$directory" > "$directory/init.sh"
  background "node-n$node" "n$node" unshare -m -u -p -f --mount-proc --propagation private bash "$directory/init.sh"
}

# The process id of the node's first process, as this machine sees it.
node_pid() {
  local unshare
  unshare=$(cat "$RUN/node-n$1.pid" 2> /dev/null) || fail "node $1 does not run"
  cut -d' ' -f1 "/proc/$unshare/task/$unshare/children"
}

# With the first process, the kernel ends all processes of the process namespace.
stop_node() {
  running "node-n$1" || return 0
  kill -KILL "$(node_pid "$1")"
  end "node-n$1" KILL
  rm -rf "$STATE/nodes/n$1/run"
  find "/sys/fs/cgroup" -path "*/sluice-n$1*" -depth -type d -exec rmdir {} \; 2> /dev/null || true
}

on_node() {
  local pid
  pid=$(node_pid "${1:-}")
  shift
  nsenter -t "$pid" -m -u -n -p "$@"
}
