// Step 1 in a browser: strings that are wrong, checks that come in, one of them mended in the middle and made again.

import { check, cue, given, story, url } from './lib.mjs';

await story(async ({ visitor }) => {
    const me = await visitor();
    const { page } = me;
    await me.enter(url, '/check');
    const field = page.locator('input[name="connection"]');
    const run = page.getByRole('button', { name: 'Run checks' });

    await run.click();
    await page.getByText('There is no connection string yet.').waitFor();
    check((await field.getAttribute('aria-invalid')) === 'true', 'the field says that it is wrong');
    await field.fill('postgresql://app@host:nope/x');
    await run.click();
    await page.getByText('These forms are understood').first().waitFor();
    await me.look('check-wrong-string');
    await field.fill(given('WRONG_PASSWORD'));
    await run.click();
    await page.locator('.connection-error', { hasText: 'password' }).waitFor();
    check(!(await page.content()).includes('plantedWrong1180'), 'what was wrong is not repeated');
    await me.look('check-wrong-password');

    await field.fill(given('SOURCE'));
    await run.click();
    await page.getByRole('button', { name: 'Check everything again' }).waitFor();
    check((await page.locator('.five > li').count()) === 5, 'the five of the original come first');
    await me.look('check-found');

    // A finding is opened, mended on the source, and made again; the rest stays.
    // It is hidden while its family is folded.
    const again = page.getByRole('button', { name: 'Check again F1', includeHidden: true });
    const finding = page.locator('details', { has: again }).last();
    const family = page.locator('details.family', { has: again });
    if (!(await family.evaluate(details => details.open))) await family.locator('> summary').click();
    if (!(await finding.evaluate(details => details.open))) await finding.locator('> summary').click();
    await finding.getByText('What to do').waitFor();
    await me.look('check-finding');
    await cue('mend');
    await again.click();
    await again.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Check everything again' }).waitFor();
    await me.look('check-mended');

    const [report] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Markdown' }).click()]);
    check(report.suggestedFilename().endsWith('.md'), `the report is a file: ${report.suggestedFilename()}`);
});
