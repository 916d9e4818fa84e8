// Both ends of SPIFFE federation by https_spiffe, as go-spiffe has them.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// Fetches a bundle of a trust domain from an endpoint of this SPIFFE ID, judged by the bundle in a file.
func fetchBundle(ctx context.Context, args []string) error {
	domain := spiffeid.RequireTrustDomainFromString(args[1])
	known, err := spiffebundle.Load(domain, args[3])
	if err != nil {
		return err
	}
	endpoint := spiffeid.RequireFromString(args[2])
	fetched, err := federation.FetchBundle(ctx, domain, args[0], federation.WithSPIFFEAuth(known, endpoint))
	if err != nil {
		return err
	}
	sequence, _ := fetched.SequenceNumber()
	hint, _ := fetched.RefreshHint()
	fmt.Println(sequence, hint, len(fetched.X509Authorities()), len(fetched.JWTAuthorities()))
	return nil
}

// A bundle that is read from its file for each call.
type file struct{ path string }

func (f file) GetBundleForTrustDomain(domain spiffeid.TrustDomain) (*spiffebundle.Bundle, error) {
	return spiffebundle.Load(domain, f.path)
}

// Serves the bundle in a file, showing the SVID in two others, until it is killed.
func serveBundle(ctx context.Context, args []string) error {
	handler, err := federation.NewHandler(spiffeid.RequireTrustDomainFromString(args[0]), file{args[1]})
	if err != nil {
		return err
	}
	svid, err := x509svid.Load(args[2], args[3])
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: handler, TLSConfig: tlsconfig.TLSServerConfig(svid), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	return server.ServeTLS(listener, "", "")
}
