# The proxies that can be installed in the cluster: Sluice from the manifests of this source tree, and kube-proxy.
# shellcheck shell=bash

# apply NAME: applies a manifest with the addresses of the cluster.
apply() {
  sed "s#@CP4@#$CP4#g; s#@POD4@#$POD4#g; s#@POD6@#$POD6#g; s#@DNS4@#$DNS4#g; s#@CLIENT4@#$CLIENT4#g" \
    "$E2E/manifests/$1.yaml" | k apply -f - > /dev/null
}

# Copies the manifests of this source tree and changes what an administrator would change. Prints the overlay.
# sluice_manifests [SOCKET_LB]
sluice_manifests() {
  local overlay=$STATE/deploy/kubernetes/instead-of-kube-proxy
  rm -rf "$STATE/deploy"
  mkdir "$STATE/deploy"
  cp -r "$ROOT/deploy/kubernetes" "$STATE/deploy"
  sed -i "s/api-server.example.com/$CP4/; s#registry.k8s.io/kube-proxy:.*#registry.k8s.io/kube-proxy:here#" "$overlay"/*.yaml
  [ -z "${1:-}" ] || echo 'components: [../socket-lb]' >> "$overlay/kustomization.yaml"
  # A node mounts the cgroup of its own pods, and a BPF file system of its own, at these paths.
  sed -i 's#path: /sys/fs/cgroup,#path: /run/cgroup2,#; s#path: /sys/fs/bpf,#path: /run/bpf,#' "$STATE"/deploy/kubernetes/socket-lb/*.yaml
  echo "$overlay"
}

# install_sluice [SOCKET_LB]
install_sluice() {
  k apply -k "$(sluice_manifests "${1:-}")" > /dev/null
  k -n kube-system rollout status daemonset sluice --timeout=180s
}

install_kube_proxy() {
  apply kube-proxy
  k -n kube-system rollout status daemonset kube-proxy --timeout=180s
}
