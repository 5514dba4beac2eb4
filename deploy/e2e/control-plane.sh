# The control plane: keys and certificates, etcd, the API server, the controller manager and the scheduler.
# shellcheck shell=bash

# certificate NAME SUBJECT [NAMES]: a key and a certificate of the cluster's authority.
certificate() {
  [ -f "$PKI/$1.crt" ] && return
  openssl req -newkey rsa:2048 -nodes -keyout "$PKI/$1.key" -out "$PKI/$1.csr" -subj "$2" 2> /dev/null
  {
    echo extendedKeyUsage=clientAuth,serverAuth
    [ -z "${3:-}" ] || echo "subjectAltName=$3"
  } > "$PKI/$1.extensions"
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 365 \
    -out "$PKI/$1.crt" -extfile "$PKI/$1.extensions" 2> /dev/null
}

# user NAME SUBJECT [NAMES]: a certificate, and a kubeconfig with it.
user() {
  certificate "$@"
  cat > "$PKI/$1.kubeconfig" << KUBECONFIG
apiVersion: v1
kind: Config
clusters: [{name: e2e, cluster: {server: "https://$CP4:6443", certificate-authority: $PKI/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PKI/$1.crt, client-key: $PKI/$1.key}}]
contexts: [{name: e2e, context: {cluster: e2e, user: $1}}]
current-context: e2e
KUBECONFIG
}

certificates() {
  local node
  [ -f "$PKI/ca.crt" ] || openssl req -x509 -newkey rsa:2048 -nodes -keyout "$PKI/ca.key" -out "$PKI/ca.crt" -days 365 \
    -subj /CN=e2e-ca -addext basicConstraints=critical,CA:TRUE 2> /dev/null
  if [ ! -f "$PKI/sa.key" ]; then
    openssl genrsa -out "$PKI/sa.key" 2048 2> /dev/null
    openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2> /dev/null
  fi
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:198.19.0.1,IP:fd00:19::1,IP:$CP4,IP:$CP6,IP:127.0.0.1"
  certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client
  certificate aggregator /CN=front-proxy-client
  user admin /O=system:masters/CN=admin
  user controller-manager /CN=system:kube-controller-manager
  user scheduler /CN=system:kube-scheduler
  for node in 1 2; do
    user "kubelet-n$node" "/O=system:nodes/CN=system:node:n$node" "DNS:n$node,IP:$(node4 $node),IP:$(node6 $node)"
  done
}

start_etcd() {
  background etcd cp "$(program etcd)" --data-dir "$STATE/etcd" --log-level warn --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster default=http://127.0.0.1:2380
}

# start_api NAME PORT
start_api() {
  background "$1" cp "$(program kube-apiserver)" --etcd-servers=http://127.0.0.1:2379 --secure-port="$2" --bind-address=:: \
    --advertise-address="$CP4" --client-ca-file="$PKI/ca.crt" --allow-privileged=true --v=1 \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-cluster-ip-range="$SERVICE4,$SERVICE6" \
    --requestheader-client-ca-file="$PKI/ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --proxy-client-cert-file="$PKI/aggregator.crt" --proxy-client-key-file="$PKI/aggregator.key" \
    --max-requests-inflight=2000 --max-mutating-requests-inflight=1000
}

api_ready() {
  in_namespace cp curl -sf --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "https://127.0.0.1:$1/readyz"
}

# start_controller NAME PROGRAM FLAGS...: the controller manager or the scheduler, if its program is there.
start_controller() {
  local name=$1 path
  path=$(program "$2")
  [ -n "$path" ] && ! running "$name" || return 0
  shift 2
  background "$name" cp "$path" --kubeconfig="$PKI/$name.kubeconfig" --authentication-kubeconfig="$PKI/$name.kubeconfig" \
    --authorization-kubeconfig="$PKI/$name.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false "$@"
}

control_plane() {
  certificates
  running etcd || start_etcd
  running api || start_api api 6443
  await 60 "API server" api_ready 6443
  start_controller controller-manager kube-controller-manager --service-account-private-key-file="$PKI/sa.key" \
    --root-ca-file="$PKI/ca.crt" --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --use-service-account-credentials --allocate-node-cidrs --cluster-cidr="$POD4,$POD6" \
    --service-cluster-ip-range="$SERVICE4,$SERVICE6" --node-cidr-mask-size-ipv4=24 --node-cidr-mask-size-ipv6=64 \
    --kube-api-qps=200 --kube-api-burst=400
  start_controller scheduler kube-scheduler
  echo "API server: https://$CP4:6443 in the network namespace sluice-cp; kubeconfig: $PKI/admin.kubeconfig"
}
