// Two browsers at a copy that is played: both show the same all the time, and who watches cannot act.

import { check, story, until, url } from './lib.mjs';

/** What a page shows of the copy, without what only one of them may do. */
const shown = page => page.locator('#part-progress').evaluate(part => [...part.querySelectorAll('h2, dl, .phases')].map(one => one.textContent).join('\n'));
const tables = page => page.locator('#tables-list tbody tr:not(.space)').allTextContents();

await story(async ({ visitor, watch }) => {
    const me = await visitor();
    const { page } = me;
    await me.enter(url, '/copy');
    await page.getByText('Share', { exact: true }).click();
    await page.getByRole('button', { name: 'Make a link to watch' }).click();
    const other = await visitor();
    await other.enter(await page.locator('pre').textContent(), '/copy');
    await other.page.getByText('You are watching').waitFor();
    await page.goto(new URL('/copy', url).href);

    await page.getByRole('button', { name: '1×', exact: true }).click();
    await other.page.locator('#tables-list .state-icon.running').first().waitFor();
    await page.getByRole('button', { name: 'Pause' }).click();
    await other.page.getByText('Paused').waitFor();
    await until('both show the same', async () => (await shown(page)) === (await shown(other.page)));
    await until('both list the same', async () => JSON.stringify(await tables(page)) === JSON.stringify(await tables(other.page)));
    const before = await shown(other.page);
    check(before.includes('copied') && (await tables(other.page)).length > 5, `there is something to see: ${before}`);
    await other.look('watching-copy');

    // There is nothing to press but what sorts and finds; and what is sent all the same is refused.
    check((await other.page.locator('form[method="post"]').count()) === 0, 'who watches has no form');
    const answer = await other.page.evaluate(async () => {
        const csrf = document.querySelector('meta[name="csrf"]')?.content ?? '';
        const body = new URLSearchParams({ csrf, wish: 'continue', step: 'copy' });
        const told = await fetch('/replay', { method: 'POST', body, headers: { 'x-requested-with': 'app', 'x-csrf': csrf } });
        await told.text();
        return told.status;
    });
    check(answer === 403, `the watcher was answered ${answer}`);
    await watch.expectProblem(/403/);
    check(await page.getByText('Paused').isVisible(), 'it is still paused');

    await page.getByRole('button', { name: 'As fast as possible' }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await other.page.getByText('The recording is over.').waitFor();
    await page.getByText('The recording is over.').waitFor();
    await until('both show the same end', async () => (await shown(page)) === (await shown(other.page)));
    check((await shown(other.page)) !== before, 'it went on');
    await other.page.getByRole('heading', { name: 'all rows are equal' }).waitFor();
});
