// The whole way in one browser: a source that is checked, a target that exists, a copy with a pause in it, and everything that is done at the end.

import { readFile } from 'node:fs/promises';

import { check, cue, given, story, url } from './lib.mjs';

const [SOURCE_PASSWORD, TARGET_PASSWORD] = [given('SOURCE_PASSWORD'), given('TARGET_PASSWORD')];

/** Downloads what a link offers, and reads it. */
async function download(page, name) {
    const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name, exact: true }).click()]);
    return { name: file.suggestedFilename(), text: await readFile(await file.path(), 'utf8') };
}

async function checks(me) {
    const { page } = me;
    const [string, password] = [page.locator('input[name="connection"]'), page.locator('input[name="password"]')];
    await string.pressSequentially(given('SOURCE'));
    check((await password.inputValue()) === SOURCE_PASSWORD, 'the password moved into its own field');
    check(!(await string.inputValue()).includes(SOURCE_PASSWORD), 'it is no longer in the string');
    check((await password.getAttribute('type')) === 'password', 'it cannot be read from the screen');
    await page.locator('.understood').getByText('shop_owner').waitFor();
    await me.look('journey-typed');
    await page.getByRole('button', { name: 'Run checks' }).click();
    await page.getByRole('button', { name: 'Check everything again' }).waitFor();
    check((await page.locator('.five > li').count()) === 5, 'the five of the original come first');
    check((await password.inputValue()) === '', 'a password that was accepted is gone from the page');

    // Everything is opened: why, what is affected, what to do.
    for (const summary of await page.locator('details.family > summary').all()) {
        if (!(await summary.evaluate(one => one.parentElement.open))) await summary.click();
    }
    const findings = page.locator('details.family > details.fold');
    check((await findings.count()) > 0, 'something was found');
    for (const finding of await findings.all()) {
        if (!(await finding.evaluate(one => one.open))) await finding.locator('> summary').click();
        await finding.getByRole('heading', { name: 'Why it matters' }).waitFor();
    }
    await me.look('journey-found');
    const report = await download(page, 'Markdown');
    check(report.name.endsWith('.md') && report.text.includes('shop'), `the report of the checks is a file: ${report.name}`);
}

async function target(me) {
    const { page } = me;
    await page.getByRole('link', { name: 'Go on to step 2' }).click();
    await page.getByRole('link', { name: 'A database that exists' }).first().click();
    await page.getByLabel('Connection string of the target').fill(given('TARGET'));
    await page.getByRole('button', { name: 'Use this database' }).click();
    await page.getByText('Both databases were looked at together: nothing stands in the way.').waitFor();
    await me.look('journey-target');
}

async function copy(me) {
    const { page } = me;
    await page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name: 'Move data' }).click();
    await cue('slow');
    await page.getByRole('button', { name: 'Copy', exact: true }).and(page.locator('[name="action"]')).click();
    const pause = page.getByRole('button', { name: 'Pause' });
    await pause.waitFor();
    await page.locator('#tables-list .state-icon.running').first().waitFor();
    await page.locator('#tables-list').getByText('<b>bold</b>').waitFor();
    await me.look('journey-moving');
    // What is under way comes to its end before a pause begins.
    await pause.click();
    await page.getByText('Pausing: what is under way comes to a safe point').waitFor();
    await me.look('journey-pausing');
    // Who does not want to wait for that stops at once, unless it came to its end meanwhile.
    const resume = page.getByRole('button', { name: 'Resume' });
    const atOnce = page.getByRole('button', { name: 'Stop at once' });
    await resume.or(atOnce).first().waitFor();
    await atOnce.click({ timeout: 5_000 }).catch(() => resume.waitFor());
    await resume.waitFor();
    await cue('fast');
    await me.look('journey-paused');
    await resume.click();
    await page.getByRole('heading', { name: 'all rows are equal' }).waitFor({ timeout: 60_000 });
    check((await page.locator('.certificate').textContent()).includes('in 2 runs'), 'the certificate tells of the pause');
    await page.locator('#tables-count').getByText('23 of 23 tables').waitFor();
    check((await page.getByRole('alert').count()) === 0, 'nothing failed on the way');
    await me.look('journey-moved');
    await page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name: 'replication' }).click();
    await page.getByText('Step 3 has copied rows to a target.').waitFor();
    await page.getByText('Nothing is set up').first().waitFor();
    await me.look('journey-replication');
}

async function sequences(page) {
    await cue('move');
    await page.getByRole('button', { name: 'Compare the sequences' }).click();
    await page.getByText('2 behind').waitFor();
    await page.getByRole('button', { name: 'Bring 2 sequences up to date' }).click();
    await page.getByText('2 were set on the target.').waitFor();
    const last = await cue('sequences');
    check(last === '777777\n4242', `the target's sequences are at ${last}`);
}

async function finish(me, watch) {
    const { page } = me;
    await page.getByRole('navigation', { name: 'Steps' }).getByRole('link', { name: 'Finish' }).click();
    await page.getByText('Nothing of it is there: 0 left on both sides.').waitFor();
    await sequences(page);
    await page.locator('#verify').getByRole('button', { name: 'Compare', exact: true }).click();
    await page.getByRole('button', { name: 'Compare again' }).and(page.locator('#verify *')).waitFor();
    await page.locator('#verify').getByText('all rows are equal').waitFor();
    await page.locator('#verify').getByText('23 of 23').waitFor();
    await me.look('journey-finished');

    for (const kind of ['HTML', 'Markdown', 'JSON', 'Recording, for bug reports']) {
        const { name, text } = await download(page, kind);
        check(text.includes('public.item'), `${name} names the tables`);
    }
    await watch.heard();
    const holding = () => watch.received.filter(part => part.text.includes(TARGET_PASSWORD)).map(part => part.from);
    check(holding().length === 0, `no answer holds the password of the target yet: ${holding()}`);
    await page.getByRole('button', { name: 'Show the password' }).click();
    await page.locator('#connection').getByText(TARGET_PASSWORD).first().waitFor();
    await me.look('journey-connection');
    await page.getByRole('button', { name: 'Hide the password' }).click();
    await page.locator('#connection').getByText(TARGET_PASSWORD).first().waitFor({ state: 'detached' });
    await watch.heard();
    // The document that was looked at meanwhile is our own doing.
    const places = holding().filter(from => from !== 'the document at journey-connection');
    check(places.length === 1 && places[0].endsWith('/finish/password'), `one answer holds it: ${places}`);
}

await story(async ({ visitor, watch }) => {
    const me = await visitor();
    await me.enter(url, '/check');
    await checks(me);
    await target(me);
    await copy(me);
    await finish(me, watch);
});
