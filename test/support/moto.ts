// moto, which answers as AWS does, on a free port of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { tryPort } from '../../cli/embedded/process.ts';
import { programOf, type Tool } from './third-party.ts';

export interface Moto {
  url: string;
  /** Calls IAM as somebody whose signature nobody checks. */
  callIam(form: Record<string, string>): Promise<Response>;
  close(): Promise<void>;
}

export async function startMoto(tool: Tool): Promise<Moto> {
  const port = (await tryPort(0, '127.0.0.1')) ?? 0;
  const server = spawn(
    programOf(tool),
    ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)],
    { stdio: 'ignore' },
  );
  const url = `http://127.0.0.1:${port}`;
  const answers = (): Promise<boolean> =>
    fetch(`${url}/moto-api/`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await answers())) await sleep(100);
  return {
    url,
    callIam: (form) =>
      fetch(url, {
        method: 'POST',
        headers: {
          authorization:
            'AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=x',
        },
        body: new URLSearchParams({ Version: '2010-05-08', ...form }),
      }),
    close: async () => {
      const ended = once(server, 'exit');
      server.kill();
      await ended;
    },
  };
}
