// The program is killed in the middle of a copy while its page is open, and started again: the page says so, and from the page the copy goes on.

import { check, cue, given, story, url } from './lib.mjs';

async function nameBoth(page, at) {
    await page.goto(new URL('/check', at).href);
    await page.locator('input[name="connection"]').fill(given('SOURCE'));
    await page.getByRole('button', { name: 'Run checks' }).click();
    await page.getByRole('button', { name: 'Check everything again' }).waitFor();
    await page.goto(new URL('/create?way=existing', at).href);
    await page.getByLabel('Connection string of the target').fill(given('TARGET'));
    await page.getByRole('button', { name: 'Use this database' }).click();
    await page.getByText('Both databases were looked at together').waitFor();
    await page.goto(new URL('/copy', at).href);
}

await story(async ({ visitor, watch }) => {
    const me = await visitor();
    const { page } = me;
    await me.enter(url);
    await nameBoth(page, url);
    await cue('slow');
    await page.locator('button[name="action"][value="copy"]').click();
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await page.locator('#tables-list .state-icon.running').first().waitFor();

    await cue('kill');
    await page.getByText('neon-migrate is not running any more').or(page.getByText('The connection to neon-migrate was lost')).waitFor();
    check(await page.locator('#tables-list .state-icon.running').first().isVisible(), 'what was shown is still there');
    const link = await cue('start');
    await page.getByText('Open the link that it printed').waitFor();
    await me.look('killed-copy');

    await me.enter(link, '/copy');
    await page.getByRole('heading', { name: 'The copy stopped on the way' }).waitFor();
    await page.getByText('Connection strings are kept in memory only').waitFor();
    await me.look('killed-interrupted');
    await nameBoth(page, link);
    await page.getByText('It goes on where it was.').waitFor();
    await me.look('killed-to-go-on');
    await page.locator('button[name="action"][value="copy"]').click();
    await page.getByRole('heading', { name: 'all rows are equal' }).waitFor({ timeout: 60_000 });
    check((await page.locator('.certificate').textContent()).includes('in 2 runs'), 'the certificate tells of both runs');
    await me.look('killed-moved');
    // The page that was open lost its stream, and was told that it is not known any more.
    await watch.expectProblem(/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/);
    watch.excuse(/401/);
});
