// Step 4 in a browser: the lines that are shown are run in a shell, one step after the other, and the page tells by itself what became of them.

import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

import { check, cue, given, story, url } from './lib.mjs';

/** Runs the lines of a step as somebody would who copies them into a shell. */
async function paste(page, step) {
    const text = id => page.locator(`#${id} pre`).first().textContent();
    const lines = `${await text('part-connections')}\n${await text(`hand-${step}`)}`;
    const folder = await mkdtemp(path.join(tmpdir(), 'shell-'));
    const env = {
        PATH: `${given('BIN')}:/usr/bin:/bin`, HOME: folder,
        SOURCE_PASSWORD: given('SOURCE_PASSWORD'), TARGET_PASSWORD: given('TARGET_PASSWORD'),
    };
    await promisify(execFile)('bash', ['-euc', lines], { env, cwd: folder, timeout: 60_000 });
}

/** What stands beside the lines of a step. */
const beside = (page, step) => page.locator('.beside', { has: page.locator(`#hand-${step}`) }).locator('aside');

await story(async ({ visitor }) => {
    const me = await visitor();
    const { page } = me;
    await me.enter(url, '/replicate');
    const state = page.locator('#part-state');
    const says = words => state.getByText(words).first().waitFor();
    await says('Nothing is set up yet.');
    await page.getByRole('button', { name: 'Make the commands' }).click();
    await page.locator('#hand-live-1-publication').waitFor();
    await me.look('replication-lines');
    // A page that is loaded again does not have it any more.
    await page.evaluate(() => { window.isTheSame = true; });

    await paste(page, 'live-1-publication');
    await beside(page, 'live-1-publication').getByText('has 23 tables').waitFor();
    await says('Next, create the definitions');
    await paste(page, 'live-2-schema');
    await says('Next, subscribe');
    await me.look('replication-published');
    await paste(page, 'live-3-subscription');
    await says('All 23 tables follow the source.');
    await says('caught up');
    await state.getByText('Following', { exact: true }).waitFor();
    await me.look('replication-following');

    await cue('hold');
    await cue('write');
    await says(/[0-9.]+ MiB behind/);
    await me.look('replication-behind');
    await cue('release');
    await says('caught up');
    check(await page.evaluate(() => window.isTheSame === true), 'all of it came without loading the page again');

    await page.goto(new URL('/finish', url).href);
    const off = page.locator('#off');
    await off.getByText('drop publication').first().waitFor();
    const turn = off.getByRole('button', { name: 'Turn replication off' });
    await turn.click();
    await off.getByText('Stop what writes to the source first, and say so here.').waitFor();
    check((await cue('left')) === '2 1', 'nothing is turned off that nobody agreed to');
    await me.look('replication-to-turn-off');
    await off.getByRole('checkbox', { name: /^Nothing writes to the source any more/ }).check();
    await turn.click();
    await off.getByText('Replication is off.').waitFor();
    check((await off.getByText('0 left', { exact: true }).count()) === 3, 'nothing is left, on both sides');
    const left = await cue('left');
    check(left === '0 0', `nothing is left in the catalogs: ${left}`);
    await me.look('replication-off');
});
