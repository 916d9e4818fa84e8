// Revocation lists as the Workload API streams them, judged by Go's own X.509 library.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// Both streams are read until their lists have this serial, each list being of an authority of the bundle beside it.
func revoked(ctx context.Context, args []string) error {
	connection, err := grpc.NewClient("unix://"+args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	marked := metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
	client := workload.NewSpiffeWorkloadAPIClient(connection)
	svids, err := client.FetchX509SVID(marked, &workload.X509SVIDRequest{})
	if err != nil {
		return err
	}
	bundles, err := client.FetchX509Bundles(marked, &workload.X509BundlesRequest{})
	if err != nil {
		return err
	}
	own := ""
	for seen := false; !seen; {
		message, err := svids.Recv()
		if err != nil {
			return err
		}
		if seen, err = hasSerial(message.Crl, message.Svids[0].Bundle, args[1]); err != nil {
			return err
		}
		fmt.Println("svid", len(message.Crl), seen)
	}
	for seen := false; !seen; {
		message, err := bundles.Recv()
		if err != nil {
			return err
		}
		if own == "" {
			for domain := range message.Bundles {
				own = domain
			}
		}
		if seen, err = hasSerial(message.Crl, message.Bundles[own], args[1]); err != nil {
			return err
		}
		fmt.Println("bundles", len(message.Crl), seen)
	}
	return nil
}

// A stream says what is so, and then nothing for as long as several looks of the server's take.
func quiet(ctx context.Context, args []string) error {
	connection, err := grpc.NewClient("unix://"+args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	marked := metadata.AppendToOutgoingContext(ctx, "workload.spiffe.io", "true")
	stream, err := workload.NewSpiffeWorkloadAPIClient(connection).FetchX509SVID(marked, &workload.X509SVIDRequest{})
	if err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	told := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		told <- err
	}()
	select {
	case err := <-told:
		return fmt.Errorf("told again: %v", err)
	case <-time.After(4 * time.Second):
		return nil
	}
}

func hasSerial(lists [][]byte, bundle []byte, serial string) (bool, error) {
	authorities, err := x509.ParseCertificates(bundle)
	if err != nil {
		return false, err
	}
	if len(lists) != len(authorities) {
		return false, fmt.Errorf("%d lists of %d authorities", len(lists), len(authorities))
	}
	found := false
	for _, der := range lists {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return false, err
		}
		if time.Now().After(list.NextUpdate) {
			return false, errors.New("a list is too old")
		}
		if !signedByAny(list, authorities) {
			return false, errors.New("a list is of no authority of the bundle")
		}
		for _, entry := range list.RevokedCertificateEntries {
			found = found || fmt.Sprintf("%032x", entry.SerialNumber) == serial
		}
	}
	return found, nil
}

func signedByAny(list *x509.RevocationList, authorities []*x509.Certificate) bool {
	for _, authority := range authorities {
		if list.CheckSignatureFrom(authority) == nil {
			return true
		}
	}
	return false
}
