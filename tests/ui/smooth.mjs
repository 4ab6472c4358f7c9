// Ten thousand tables are played in some seconds; meanwhile the table of tables is sorted, searched and scrolled, and never stands still.

import { check, frames, story, until, url } from './lib.mjs';

const LONGEST_MS = 100;

await story(async ({ visitor }) => {
    const me = await visitor();
    const { page } = me;
    await me.enter(url, '/copy');
    const [list, find, over] = [page.locator('#tables-list'), page.locator('#tables-find'), page.getByText('The recording is over.')];
    const counted = words => page.locator('#tables-count', { hasText: words }).waitFor();
    const measured = await frames(page);
    const began = Date.now();
    await page.getByRole('button', { name: '10×', exact: true }).click();
    await counted('10,000 of 10,000 tables');
    await page.locator('#tables-list .state-icon.running').first().waitFor();
    let rounds = 0;
    while (!(await over.isVisible())) {
        for (const column of ['name', 'rows', 'state', 'bytes', 'rate']) {
            await page.locator(`th[data-sort="${column}"] a`).click();
            await list.hover();
            for (const way of [4000, 60_000, -2500]) await page.mouse.wheel(0, way);
        }
        await find.pressSequentially('part_09');
        await counted('1,000 of 10,000 tables');
        await page.mouse.wheel(0, 12_000);
        await find.fill('');
        await counted('10,000 of 10,000 tables');
        rounds++;
    }
    const longest = await measured();
    const took = Date.now() - began;
    check(longest < LONGEST_MS, `no task takes longer than ${LONGEST_MS} ms: ${longest} ms in ${rounds} rounds`);
    check(rounds >= 1 && took > 5_000, `it was used while it was played: ${rounds} rounds in ${took} ms`);
    await page.locator('th[data-sort="name"] a').click();
    await until('the last rows are there', async () => (await list.locator('tbody tr').count()) > 5);
    await me.look('smooth-end');
});
