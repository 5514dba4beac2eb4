module io.sluice/proxyprotocol/peer

go 1.18

require github.com/pires/go-proxyproto v0.8.0
