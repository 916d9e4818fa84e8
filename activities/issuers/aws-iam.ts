// Calls to AWS IAM, signed with the keys that a target names.
import { TargetError, type TargetRef } from '../../commands/credentials/issuer.ts';
import { callTarget, codeOf, refusedWith } from './http.ts';
import { signCall } from './sigv4.ts';
import type { World } from './world.ts';
import { elementOf } from './xml.ts';

/** Calls IAM with the keys that the target names; answers its XML. Throws a TargetError with IAM's own word. */
export async function callIam(
  world: World,
  { definition }: TargetRef,
  parameters: Record<string, string>,
): Promise<string> {
  const iam = definition?.issuer === 'aws' ? definition.iam : undefined;
  if (!iam) throw new TargetError('target_not_configured');
  const read = (name: string): string => {
    const value = world.secrets(name);
    if (value === null) throw new TargetError('target_not_configured');
    return value;
  };
  const url = new URL(iam.endpoint);
  const body = new URLSearchParams({ ...parameters, Version: '2010-05-08' }).toString();
  const headers = signCall(
    {
      method: 'POST',
      url,
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
      service: 'iam',
      region: iam.region,
    },
    {
      accessKeyId: read(iam.access_key_id_from),
      secretAccessKey: read(iam.secret_access_key_from),
      sessionToken: iam.session_token_from === undefined ? null : read(iam.session_token_from),
    },
    new Date(world.now()),
  );
  const answer = await callTarget(world.egress, url.href, { method: 'POST', headers, body });
  if (answer.status === 200) return answer.body;
  throw refusedWith(codeOf(elementOf(answer.body, 'Code') ?? 'refused'), answer);
}
