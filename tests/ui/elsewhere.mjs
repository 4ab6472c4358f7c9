// The page served to other machines: TLS, and a password at the door.

import { check, given, story, url } from './lib.mjs';

await story(async ({ visitor, watch }) => {
    const me = await visitor();
    const { page } = me;
    await page.goto(url);
    // The door's own: behind it there are other passwords.
    const field = page.locator('form[action="/login"] input');
    await field.waitFor();
    await me.look('door-password');
    await field.fill('a guess');
    await page.keyboard.press('Enter');
    await page.getByText('This is not the password.').waitFor();
    await watch.expectProblem(/401/);
    check((await field.getAttribute('aria-invalid')) === 'true', 'the field says that it is wrong');
    check((await me.context.cookies()).length === 0, 'nobody is let in by a guess');
    await me.look('door-wrong-password');

    // The right one at once after a wrong one waits, too; after a while it opens.
    await field.fill(given('PASSWORD'));
    await page.keyboard.press('Enter');
    await page.getByText('Try again in').or(page.getByRole('navigation', { name: 'Steps' })).waitFor();
    while (await field.isVisible()) {
        await field.fill(given('PASSWORD'));
        await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
    }
    await page.getByRole('navigation', { name: 'Steps' }).waitFor();
    const [cookie] = await me.context.cookies();
    check(cookie.secure && cookie.httpOnly && cookie.sameSite === 'Strict', `the cookie is for TLS alone: ${JSON.stringify(cookie)}`);
    watch.excuse(/429/);

    // A link to watch needs no password: it was given by somebody who has it.
    await page.getByText('Share', { exact: true }).click();
    await page.getByRole('button', { name: 'Make a link to watch' }).click();
    const other = await visitor();
    await other.enter(await page.locator('pre').textContent(), '/copy');
    await other.page.getByText('Watching only').waitFor();
});
