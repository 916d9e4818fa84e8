import { describe, expectTypeOf, it } from 'vitest';
import type { z } from 'zod';
import type { attentionReport } from '../../api/attention.ts';
import type { emergency } from '../../api/break-glass.ts';
import type { foundIdentity } from '../../api/discovery.ts';
import type { grant } from '../../api/grants.ts';
import type { newScanner, scanner } from '../../api/leak-scanners.ts';
import type { leak, leakLine } from '../../api/leaks.ts';
import type { permitShape, redemptionShape } from '../../api/permits.ts';
import type { placement } from '../../api/placements.ts';
import type { member } from '../../api/population.ts';
import type { receiver, signalDelivery } from '../../api/receivers.ts';
import type { run } from '../../api/run-schemas.ts';
import type * as shape from '../../api/schemas.ts';
import type * as stopping from '../../api/stopping-schemas.ts';
import type { source } from '../../api/trigger-sources.ts';
import type {
  AccessRequest,
  Agent,
  Credential,
  Delegation,
  Emergency,
  FoundIdentity,
  Grant,
  InvitedPerson,
  Leak,
  LeakLine,
  LeakScanner,
  NewLeakScanner,
  TriggerSource,
  Joined,
  Killed,
  MadeJoinToken,
  NewAgent,
  Page,
  Permit,
  Redemption,
  Person,
  Placement,
  AttentionReport,
  PopulationMember,
  Receiver,
  RecordedEvent,
  RegisteredKey,
  SignalDelivery,
  Revocation,
  SigningKey,
  Stop,
  Run,
  Task,
} from '../../sdk/index.ts';

type Answer<T extends keyof typeof shape> = (typeof shape)[T] extends z.ZodType
  ? z.infer<(typeof shape)[T]>
  : never;

type Stopping<T extends keyof typeof stopping> = (typeof stopping)[T] extends z.ZodType
  ? z.infer<(typeof stopping)[T]>
  : never;

/** Open JSON objects: the schema says less about them than the client's types do. */
type Open = 'action' | 'data' | 'disclosed' | 'narrowed';

describe('the types of the client', () => {
  it('are those of the server’s own schemas, member for member', () => {
    expectTypeOf<z.infer<typeof permitShape>>().toEqualTypeOf<Permit>();
    expectTypeOf<z.infer<typeof redemptionShape>>().toEqualTypeOf<Redemption>();
    expectTypeOf<Answer<'agent'>>().toEqualTypeOf<Agent>();
    expectTypeOf<Answer<'task'>>().toEqualTypeOf<Task>();
    expectTypeOf<Answer<'delegation'>>().toEqualTypeOf<Delegation>();
    expectTypeOf<Answer<'credential'>>().toEqualTypeOf<Credential>();
    expectTypeOf<z.infer<typeof emergency>>().toEqualTypeOf<Emergency>();
    expectTypeOf<z.infer<typeof grant>>().toEqualTypeOf<Grant>();
    expectTypeOf<z.infer<typeof run>>().toEqualTypeOf<Run>();
    expectTypeOf<Answer<'person'>>().toEqualTypeOf<Person>();
    expectTypeOf<Answer<'invitedPerson'>>().toExtend<InvitedPerson>();
    expectTypeOf<z.infer<typeof receiver>>().toEqualTypeOf<Receiver>();
    expectTypeOf<z.infer<typeof signalDelivery>>().toEqualTypeOf<SignalDelivery>();
    expectTypeOf<z.infer<typeof leak>>().toEqualTypeOf<Leak>();
    expectTypeOf<z.infer<typeof leakLine>>().toEqualTypeOf<LeakLine>();
    expectTypeOf<z.infer<typeof scanner>>().toEqualTypeOf<LeakScanner>();
    expectTypeOf<z.infer<typeof newScanner>>().toEqualTypeOf<NewLeakScanner>();
    expectTypeOf<z.infer<typeof source>>().toEqualTypeOf<TriggerSource>();
    expectTypeOf<z.infer<typeof foundIdentity>>().toEqualTypeOf<FoundIdentity>();
    expectTypeOf<z.infer<typeof member>>().toEqualTypeOf<PopulationMember>();
    expectTypeOf<z.infer<typeof attentionReport>>().toEqualTypeOf<AttentionReport>();
    expectTypeOf<z.infer<typeof placement>>().toEqualTypeOf<Placement>();
    expectTypeOf<Stopping<'revocation'>>().toEqualTypeOf<Revocation>();
    expectTypeOf<Stopping<'killed'>>().toEqualTypeOf<Killed>();
    expectTypeOf<Stopping<'stop'>>().toEqualTypeOf<Stop>();
    expectTypeOf<Answer<'key'>>().toEqualTypeOf<RegisteredKey>();
    expectTypeOf<Answer<'signingKey'>>().toEqualTypeOf<SigningKey>();
    expectTypeOf<Answer<'registeredAgent'>>().toEqualTypeOf<NewAgent>();
    expectTypeOf<Answer<'madeJoinToken'>>().toEqualTypeOf<MadeJoinToken>();
    expectTypeOf<Answer<'joined'>>().toEqualTypeOf<Joined>();
    expectTypeOf<Omit<Answer<'request'>, Open>>().toEqualTypeOf<Omit<AccessRequest, Open>>();
    expectTypeOf<Omit<Answer<'event'>, Open>>().toEqualTypeOf<Omit<RecordedEvent, Open>>();
    expectTypeOf<keyof Answer<'event'>>().toEqualTypeOf<keyof RecordedEvent>();
    expectTypeOf<keyof Answer<'action'>>().toEqualTypeOf<keyof AccessRequest['action']>();
    expectTypeOf<z.infer<ReturnType<typeof shape.listOf<typeof shape.task>>>>().toEqualTypeOf<
      Page<Task>
    >();
  });
});
