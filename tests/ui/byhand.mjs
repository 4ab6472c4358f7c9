// The lines for those who do it by hand: made, read in any shell, copied, downloaded; passwords only where somebody asks for them.

import { check, given, story, url } from './lib.mjs';

await story(async ({ visitor, watch }) => {
    const me = await visitor({ permissions: ['clipboard-read', 'clipboard-write'] });
    const { page } = me;
    await me.enter(url, '/copy');
    await page.getByRole('button', { name: 'Make the commands' }).click();
    await page.getByText('Why these flags').first().waitFor();
    await page.getByText('Why these flags').first().click();
    await me.look('by-hand');

    const lines = page.locator('#hand-dump pre, .hand pre').first();
    await page.locator('.hand').first().getByRole('button', { name: 'Copy' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    check(copied === await lines.textContent() && copied.includes('pg_dump'), `what is copied is what is shown: ${copied}`);

    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: /^Download all of it/ }).click()]);
    check(/^all-.*\.sh$/.test(download.suggestedFilename()), `the file is named ${download.suggestedFilename()}`);

    await page.getByRole('link', { name: 'PowerShell' }).click();
    await page.getByText('Get-Content').or(page.getByText('$env:')).first().waitFor();
    await me.look('by-hand-powershell');

    const secret = given('PASSWORD');
    const holding = () => watch.received.filter(part => part.text.includes(secret)).map(part => part.from);
    check(holding().length === 0, `no answer holds a password yet: ${holding()}`);
    await page.getByRole('button', { name: 'Show the passwords' }).click();
    await page.getByText(secret).first().waitFor();
    await me.look('by-hand-passwords');
    await page.getByRole('button', { name: 'Hide the passwords' }).click();
    await page.getByText(secret).first().waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Show the passwords' }).waitFor();
    await watch.heard();
    // The picture of the page that was taken meanwhile is our own doing.
    const places = holding().filter(from => from !== 'the document at by-hand-passwords');
    check(places.length === 1 && places[0].endsWith('/commands/passwords'), `one answer holds it: ${places}`);
});
