// What approvers are told of a request on ways other than Slack. A notice tells and asks; nothing that is answered to it
// decides anything.

export const NOTICE_KINDS = ['opened', 'changed', 'reminded', 'closed'] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** The way of e-mail. */
export const EMAIL = 'email';

const WEBHOOK = 'webhook/';

/** The way that a webhook of this name is. */
export const webhookChannel = (name: string): string => `${WEBHOOK}${name}`;

/** The name of the webhook that a way is; null if it is none. */
export const webhookName = (channel: string): string | null =>
  channel.startsWith(WEBHOOK) ? channel.slice(WEBHOOK.length) : null;

/** The ways that some routes name, each once. */
export const channelsOf = (
  routes: readonly {
    rule: { webhooks?: string[] | undefined; email?: { approvers: true } | undefined };
  }[],
): string[] => [
  ...new Set(
    routes.flatMap(({ rule }) => [
      ...(rule.webhooks ?? []).map(webhookChannel),
      ...(rule.email ? [EMAIL] : []),
    ]),
  ),
];
