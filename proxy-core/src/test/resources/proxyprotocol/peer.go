// Peer that reads or writes PROXY headers with a library that other proxies use.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/pires/go-proxyproto"
)

const usage = "usage: peer receive ADDRESS | peer send ADDRESS VERSION SOURCE DESTINATION"

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "receive":
		log.Fatal(receive(os.Args[2]))
	case len(os.Args) == 6 && os.Args[1] == "send":
		if err := send(os.Args[2], os.Args[3] == "V1", os.Args[4], os.Args[5]); err != nil {
			log.Fatal(err)
		}
	default:
		log.Fatal(usage)
	}
}

// receive serves HTTP and replies with the addresses in the header, which is required.
func receive(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	required := func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		return proxyproto.REQUIRE, nil
	}
	return http.Serve(
		&proxyproto.Listener{Listener: listener, ConnPolicy: required},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			local := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
			host, port, _ := net.SplitHostPort(r.RemoteAddr)
			fmt.Fprintf(w, "%s %s %s %d", host, port, local.IP, local.Port)
		}))
}

// send connects, sends a header and a few bytes, and prints the response.
func send(address string, text bool, source, destination string) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	from, err := net.ResolveTCPAddr("tcp", source)
	if err != nil {
		return err
	}
	to, err := net.ResolveTCPAddr("tcp", destination)
	if err != nil {
		return err
	}
	version := byte(2)
	if text {
		version = 1
	}
	header := proxyproto.HeaderProxyFromAddrs(version, from, to)
	if !text {
		tlvs := []proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("example.com")}}
		if err := header.SetTLVs(tlvs); err != nil {
			return err
		}
	}
	if _, err := header.WriteTo(connection); err != nil {
		return err
	}
	if _, err := connection.Write([]byte("ping")); err != nil {
		return err
	}
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, connection)
	return err
}
