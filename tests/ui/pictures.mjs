// Takes the pictures of the README and the guide (scripts/screens): not a test, but it fails by the same rules.

import path from 'node:path';

import { story, url } from './lib.mjs';

const folder = process.argv[2];

await story(async ({ visitor }) => {
    const { page } = await visitor({ viewport: { width: 1280, height: 860 } });
    const to = step => page.goto(new URL(step, url).href);
    const shoot = name => page.screenshot({ path: path.join(folder, `ui-${name}.png`), animations: 'disabled' });
    await page.goto(url);
    await page.waitForURL(/\/(check|create|copy)/);

    await to('/check');
    await page.getByRole('button', { name: 'Run checks' }).click();
    await page.getByRole('link', { name: 'Markdown' }).waitFor({ timeout: 60_000 });
    await shoot('check');

    await to('/copy');
    await page.getByRole('button', { name: 'Copy', exact: true }).first().click();
    await page.getByRole('button', { name: 'Pause' }).waitFor();
    await page.waitForFunction(() => (document.querySelector('#part-progress progress')?.value ?? 0) > 250);
    await shoot('move');

    await page.getByText('all rows are equal').first().waitFor({ timeout: 120_000 });
    await page.evaluate(() => window.scrollTo(0, 0));
    await shoot('moved');
});
