// Uses a SPIFFE Workload API as workloads do, and bundle endpoints as trust domains do: with go-spiffe, which knows nothing of who serves it.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

var checks = map[string]func(ctx context.Context, args []string) error{
	"mtls": mtls, "jwt": jwt, "bundles": bundles, "rotate": rotate, "unmarked": unmarked, "denied": denied,
	"serial": serial, "ask": ask, "fetch-bundle": fetchBundle, "serve-bundle": serveBundle,
	"revoked": revoked, "quiet": quiet,
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	check, known := checks[os.Args[1]]
	if !known {
		fmt.Println("no such check")
		os.Exit(2)
	}
	if err := check(ctx, os.Args[2:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func options(socket string) workloadapi.SourceOption {
	return workloadapi.WithClientOptions(workloadapi.WithAddr("unix://" + socket))
}

func source(ctx context.Context, socket string) (*workloadapi.X509Source, spiffeid.ID, error) {
	opened, err := workloadapi.NewX509Source(ctx, options(socket))
	if err != nil {
		return nil, spiffeid.ID{}, err
	}
	svid, err := opened.GetX509SVID()
	if err != nil {
		return nil, spiffeid.ID{}, err
	}
	return opened, svid.ID, nil
}

// Two agents talk over mutual TLS, each by the other's name; under any other name they do not.
func mtls(ctx context.Context, sockets []string) error {
	server, serverID, err := source(ctx, sockets[0])
	if err != nil {
		return err
	}
	client, clientID, err := source(ctx, sockets[1])
	if err != nil {
		return err
	}
	if err := talk(server, client, clientID, serverID); err != nil {
		return fmt.Errorf("the agents cannot talk: %w", err)
	}
	if talk(server, client, serverID, serverID) == nil {
		return errors.New("the server took another client for the one it lets in")
	}
	if talk(server, client, clientID, clientID) == nil {
		return errors.New("the client took another server for the one it wants")
	}
	fmt.Println(serverID, clientID)
	return nil
}

func talk(server, client *workloadapi.X509Source, letsIn, wants spiffeid.ID) error {
	listener, err := tls.Listen("tcp", "127.0.0.1:0",
		tlsconfig.MTLSServerConfig(server, server, tlsconfig.AuthorizeID(letsIn)))
	if err != nil {
		return err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_, err = connection.Write([]byte("hello"))
			connection.Close()
		}
		served <- err
	}()
	connection, err := tls.Dial("tcp", listener.Addr().String(),
		tlsconfig.MTLSClientConfig(client, client, tlsconfig.AuthorizeID(wants)))
	if err != nil {
		return err
	}
	defer connection.Close()
	heard, err := io.ReadAll(connection)
	if err != nil {
		return err
	}
	if string(heard) != "hello" {
		return fmt.Errorf("heard %q", heard)
	}
	return <-served
}

// A JWT-SVID is judged by the library against the streamed bundle, and by the Workload API itself.
func jwt(ctx context.Context, args []string) error {
	opened, err := workloadapi.NewJWTSource(ctx, options(args[0]))
	if err != nil {
		return err
	}
	defer opened.Close()
	svid, err := opened.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "orders", ExtraAudiences: []string{"payouts"}})
	if err != nil {
		return err
	}
	if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), opened, []string{"orders"}); err != nil {
		return err
	}
	if _, err := jwtsvid.ParseAndValidate(svid.Marshal(), opened, []string{"reports"}); err == nil {
		return errors.New("taken for another audience")
	}
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+args[0]))
	if err != nil {
		return err
	}
	defer client.Close()
	valid, err := client.ValidateJWTSVID(ctx, svid.Marshal(), "payouts")
	if err != nil {
		return err
	}
	if valid.ID != svid.ID || valid.Claims["sub"] != svid.ID.String() {
		return fmt.Errorf("validated as %s", valid.ID)
	}
	if _, err := client.ValidateJWTSVID(ctx, svid.Marshal(), "reports"); status.Code(err) != codes.InvalidArgument {
		return fmt.Errorf("another audience: %v", err)
	}
	other, err := svid.ID.AppendPath("/other")
	if err != nil {
		return err
	}
	_, err = client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "orders", Subject: other})
	if status.Code(err) != codes.PermissionDenied {
		return fmt.Errorf("another subject: %v", err)
	}
	return nil
}

// The bundles of the agent's own trust domain and of every one named are there, of both kinds.
func bundles(ctx context.Context, args []string) error {
	opened, id, err := source(ctx, args[0])
	if err != nil {
		return err
	}
	keys, err := workloadapi.NewJWTSource(ctx, options(args[0]))
	if err != nil {
		return err
	}
	domains := []spiffeid.TrustDomain{id.TrustDomain()}
	for _, name := range args[1:] {
		domains = append(domains, spiffeid.RequireTrustDomainFromString(name))
	}
	for _, domain := range domains {
		x509, err := opened.GetX509BundleForTrustDomain(domain)
		if err != nil {
			return err
		}
		jwt, err := keys.GetJWTBundleForTrustDomain(domain)
		if err != nil {
			return err
		}
		fmt.Println(domain, len(x509.X509Authorities()), len(jwt.JWTAuthorities()))
	}
	return nil
}

// The SVID is replaced while it is in use, and both sides go on talking.
func rotate(ctx context.Context, sockets []string) error {
	server, serverID, err := source(ctx, sockets[0])
	if err != nil {
		return err
	}
	client, clientID, err := source(ctx, sockets[1])
	if err != nil {
		return err
	}
	first, err := server.GetX509SVID()
	if err != nil {
		return err
	}
	for {
		if err := talk(server, client, clientID, serverID); err != nil {
			return err
		}
		now, err := server.GetX509SVID()
		if err != nil {
			return err
		}
		if now.Certificates[0].SerialNumber.Cmp(first.Certificates[0].SerialNumber) != 0 {
			return talk(server, client, clientID, serverID)
		}
		select {
		case <-ctx.Done():
			return errors.New("the SVID was never replaced")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Says which certificate is served, and by which authority it is believed.
func serial(ctx context.Context, args []string) error {
	opened, id, err := source(ctx, args[0])
	if err != nil {
		return err
	}
	svid, err := opened.GetX509SVID()
	if err != nil {
		return err
	}
	if _, _, err := x509svid.Verify(svid.Certificates, opened); err != nil {
		return fmt.Errorf("%s is not believed: %w", id, err)
	}
	fmt.Printf("%x\n", svid.Certificates[0].SerialNumber)
	return nil
}

// Asks once for each kind of SVID, and says what it is told.
func ask(ctx context.Context, args []string) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+args[0]))
	if err != nil {
		return err
	}
	_, x509 := client.FetchX509SVID(ctx)
	_, jwt := client.FetchJWTSVID(ctx, jwtsvid.Params{Audience: "orders"})
	fmt.Println(status.Code(x509), status.Code(jwt))
	return nil
}

// A caller that does not mark its calls gets nothing of either kind.
func unmarked(ctx context.Context, args []string) error {
	connection, err := grpc.NewClient("unix://"+args[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	client := workload.NewSpiffeWorkloadAPIClient(connection)
	stream, err := client.FetchX509SVID(ctx, &workload.X509SVIDRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		return fmt.Errorf("a stream without the mark: %v", err)
	}
	_, err = client.FetchJWTSVID(ctx, &workload.JWTSVIDRequest{Audience: []string{"orders"}})
	if status.Code(err) != codes.InvalidArgument {
		return fmt.Errorf("a call without the mark: %v", err)
	}
	return nil
}

type watcher struct{ changes chan error }

func (w watcher) OnX509ContextUpdate(*workloadapi.X509Context) { w.changes <- nil }
func (w watcher) OnX509ContextWatchError(err error)            { w.changes <- err }

// A stream that is open ends with PermissionDenied when the agent is stopped.
func denied(ctx context.Context, args []string) error {
	client, err := workloadapi.New(ctx, workloadapi.WithAddr("unix://"+args[0]))
	if err != nil {
		return err
	}
	seen := watcher{changes: make(chan error, 100)}
	go client.WatchX509Context(ctx, seen)
	for {
		select {
		case err := <-seen.changes:
			if err == nil {
				fmt.Println("has an identity")
			} else if status.Code(err) == codes.PermissionDenied {
				return nil
			} else {
				return err
			}
		case <-ctx.Done():
			return errors.New("the stream went on")
		}
	}
}
