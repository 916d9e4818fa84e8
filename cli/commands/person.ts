// People: invited, listed, changed. What they decide, they decide on the web or in Slack.
import { Option, type Command } from 'commander';
import type { InvitedPerson, Person, PersonRole } from '../../sdk/index.ts';
import {
  firstItems,
  limitOption,
  makingCommand,
  printMade,
  printResult,
  resultCommand,
  several,
  type IdFlags,
  type OutputFlags,
} from './command.ts';
import { asAutomation } from './session.ts';
import { facts, table, when, type Terminal } from './terminal.ts';

interface InviteFlags extends IdFlags {
  name: string;
  email?: string;
  role?: PersonRole[];
  group?: string[];
  slackUser?: string;
}

interface ChangeFlags extends OutputFlags {
  role?: PersonRole[];
  group?: string[];
  slackUser?: string | false;
  state?: Person['state'];
}

export function personCommands(program: Command, terminal: Terminal): void {
  const person = program.command('person').description('people who are asked, or who answer');
  makingCommand(person, 'invite', 'invite a person and print the link that lets them in once')
    .requiredOption('--name <name>', 'how others see them')
    .option('--email <address>', 'their address')
    .option('--role <role...>', 'admin, approver, auditor, owner (approver)', several)
    .option('--group <group...>', 'the groups they decide for', several)
    .option('--slack-user <id>', 'their user in Slack, such as U012AB3CD')
    .action((flags: InviteFlags) => invite(terminal, flags));
  limitOption(resultCommand(person, 'list', 'list people')).action(
    (flags: OutputFlags & { limit: number }) => list(terminal, flags),
  );
  resultCommand(person, 'link <id>', 'a new sign-in link; earlier unused ones stop working').action(
    async (id: string, flags: OutputFlags) => {
      const invited = await (await asAutomation(terminal)).people.link(id);
      printResult(terminal, flags, invited, () => linkFacts(invited));
    },
  );
  resultCommand(person, 'change <id>', 'change what is named and leave the rest')
    .option('--role <role...>', 'all their roles from now on', several)
    .option('--group <group...>', 'all their groups from now on', several)
    .option('--slack-user <id>', 'their user in Slack')
    .option('--no-slack-user', 'take their Slack user away')
    .addOption(
      new Option('--state <state>', 'whether they are in').choices(['active', 'deactivated']),
    )
    .action((id: string, flags: ChangeFlags) => change(terminal, id, flags));
  resultCommand(person, 'passkeys <id>', 'the passkeys of a person').action(
    (id: string, flags: OutputFlags) => passkeys(terminal, id, flags),
  );
  resultCommand(person, 'remove-passkey <id> <passkey>', 'remove a passkey that was lost').action(
    async (id: string, passkey: string, flags: OutputFlags) => {
      await (await asAutomation(terminal)).people.removePasskey(id, passkey);
      printResult(terminal, flags, { removed: passkey }, () => facts([['removed', passkey]]));
    },
  );
}

async function passkeys(terminal: Terminal, id: string, flags: OutputFlags): Promise<void> {
  const found = await (await asAutomation(terminal)).people.passkeys(id);
  printResult(terminal, flags, { data: found.data }, () =>
    table(
      ['PASSKEY', 'NAME', 'SYNCED', 'ADDED', 'LAST USED'],
      found.data.map((each) => [
        each.id,
        each.name,
        each.synced ? 'yes' : 'no',
        when(each.created_at),
        when(each.last_used_at),
      ]),
    ),
  );
}

async function invite(terminal: Terminal, flags: InviteFlags): Promise<void> {
  const { name, email, role = ['approver'], group = [], slackUser } = flags;
  const client = await asAutomation(terminal);
  const invited = await client.people.invite({
    name,
    email,
    roles: role,
    groups: group,
    slackUserId: slackUser,
  });
  printMade(terminal, flags, invited, () => linkFacts(invited));
}

const linkFacts = (invited: InvitedPerson): string =>
  facts([
    ['person', invited.id],
    ['name', invited.name],
    ['roles', invited.roles.join(', ')],
    ['groups', invited.groups.join(', ')],
    ['sign in at', invited.sign_in_url],
    ['works once, until', when(invited.sign_in_expires_at)],
  ]);

async function list(terminal: Terminal, flags: OutputFlags & { limit: number }): Promise<void> {
  const { eachItem } = await import('../../sdk/index.ts');
  const client = await asAutomation(terminal);
  const items = eachItem((cursor) => client.people.list({ cursor }));
  const people = await firstItems(terminal, flags.limit, items);
  printResult(terminal, flags, { data: people }, () =>
    table(
      ['PERSON', 'NAME', 'ROLES', 'GROUPS', 'STATE'],
      people.map(({ id, name, roles, groups, state }) => [
        id,
        name,
        roles.join(', '),
        groups.join(', '),
        state,
      ]),
    ),
  );
}

async function change(terminal: Terminal, id: string, flags: ChangeFlags): Promise<void> {
  const client = await asAutomation(terminal);
  const changed = await client.people.change(id, {
    roles: flags.role,
    groups: flags.group,
    slackUserId: flags.slackUser === false ? null : flags.slackUser,
    state: flags.state,
  });
  printResult(terminal, flags, changed, () =>
    facts([
      ['person', changed.id],
      ['name', changed.name],
      ['roles', changed.roles.join(', ')],
      ['groups', changed.groups.join(', ')],
      ['state', changed.state],
    ]),
  );
}
