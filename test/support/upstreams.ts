// An API in the policy of a test: one upstream with calls of every kind, and the rules over it.

/** What a test says otherwise of its upstream. */
export interface UpstreamWish {
  base: string;
  /** Lines under `authentication:`, already indented by four. */
  authentication?: string;
  /** More lines of the upstream, indented by two. */
  more?: string;
}

/** upstreams.yaml with an API of tickets. */
export const ticketsYaml = ({ base, authentication, more = '' }: UpstreamWish): string => `tickets:
  title: Tickets
  base: ${base}
  authentication:
${authentication ?? '    secret_from: TICKETS_TOKEN'}
  headers: { accept: application/json }
  allow_headers: [accept-language]
  idempotency_header: idempotency-key
  timeout_seconds: 2
${more}  calls:
    get-ticket:
      method: GET
      path: /tickets/{ticket}
      query: [fields]
      effect: read
    search:
      method: POST
      path: /search
      body: json
      effect: read
    close-ticket:
      method: PATCH
      path: /tickets/{ticket}
      body: json
      effect: write
      preview: get-ticket
    pay:
      method: POST
      path: /tickets/{ticket}/payments
      body: json
      effect: write
      retry: idempotency-key
    purge:
      method: DELETE
      path: /tickets/{ticket}
      effect: delete
`;

/** Reads are plainly permitted but for one ticket; the rest waits for the data owners. */
export const TICKET_RULES = `
@id("read-tickets")
permit (principal is Agent, action == Action::"http:call", resource == Upstream::"tickets")
when { context.effect == "read" };

@id("change-tickets")
@approval("orders-write")
@control("tickets")
@title("Changing a ticket takes a data owner")
permit (principal is Agent, action == Action::"http:call", resource == Upstream::"tickets")
when { context.effect != "read" };

@id("nobody-reads-13")
@title("Ticket 13 is for nobody to read")
forbid (principal is Agent, action == Action::"http:call", resource == Upstream::"tickets")
when { context.effect == "read" && context.params.contains("ticket=13") };
`;

/** The files of a policy with the API of tickets. */
export const withTickets = (
  files: Record<string, string>,
  wish: UpstreamWish,
): Record<string, string> => ({
  ...files,
  'main.cedar': `${files['main.cedar'] ?? ''}\n${TICKET_RULES}`,
  'upstreams.yaml': ticketsYaml(wish),
});

/** The API of tickets as the page of the policy shows it. */
export const ticketsIn = (hostile: string) => ({
  name: 'tickets',
  title: hostile,
  base: 'https://tickets.example',
  dataClass: hostile,
  calls: ['get-ticket (read)'],
});
