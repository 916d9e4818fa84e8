// Rows as they are read.
import type * as schema from './schema/index.ts';

export type AgentRow = typeof schema.agent.$inferSelect;
export type JoinTokenRow = typeof schema.joinToken.$inferSelect;
export type KeyRow = typeof schema.agentKey.$inferSelect;
export type SigningKeyRow = typeof schema.signingKey.$inferSelect;
export type TaskRow = typeof schema.task.$inferSelect;
export type CertificateRow = typeof schema.certificate.$inferSelect;
export type CredentialRow = typeof schema.credential.$inferSelect;
export type RunRow = typeof schema.run.$inferSelect;
export type RequestRow = typeof schema.request.$inferSelect;
export type VoteRow = typeof schema.vote.$inferSelect;
export type PermitRow = typeof schema.permit.$inferSelect;
export type PersonRow = typeof schema.person.$inferSelect;
export type SessionRow = typeof schema.session.$inferSelect;
export type ReviewRow = typeof schema.review.$inferSelect;
export type ReviewLineRow = typeof schema.reviewLine.$inferSelect;
export type SlackMessageRow = typeof schema.slackMessage.$inferSelect;
export type ReceiverRow = typeof schema.receiver.$inferSelect;
export type SignalRow = typeof schema.signalDelivery.$inferSelect;
export type ScannerRow = typeof schema.scanner.$inferSelect;
export type LeakRow = typeof schema.leak.$inferSelect;
export type LeakMatchRow = typeof schema.leakMatch.$inferSelect;
export type PlacementRow = typeof schema.placement.$inferSelect;
export type TriggerSourceRow = typeof schema.triggerSource.$inferSelect;
