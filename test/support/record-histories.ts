// Records the histories that replays are tried against: `npm run histories`. A workflow whose steps are changed on
// purpose, before any installation runs it, gets new ones; afterwards the old ones stay and new ones are added.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PACKAGE_ROOT } from '../../cli/package.ts';
import { SCENES } from './scenes.ts';
import { prepareTimeSkipping } from './time-skipping.ts';
import { openWorkbench } from './workbench.ts';

const folder = await mkdtemp(path.join(tmpdir(), 'countersign-histories-'));
const bench = await openWorkbench(await prepareTimeSkipping(folder));
const histories = path.join(PACKAGE_ROOT, 'test/histories');
await mkdir(histories, { recursive: true });
for (const { name, play } of SCENES) {
  await writeFile(path.join(histories, `${name}.json`), `${await play(bench)}\n`);
  process.stdout.write(`${name}\n`);
}
await bench.close();
await rm(folder, { recursive: true, force: true });
process.exit();
