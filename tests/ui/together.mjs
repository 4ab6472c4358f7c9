// Two browsers at once, one of them without scripts; and the program killed and started again while a page is open.

import { check, cue, given, story, url } from './lib.mjs';

await story(async ({ visitor, watch }) => {
    const me = await visitor();
    await me.enter(url, '/create?way=existing');
    await me.page.getByText('Share', { exact: true }).click();
    await me.page.getByRole('button', { name: 'Make a link to watch' }).click();
    const watching = await visitor();
    await watching.enter(await me.page.locator('pre').textContent(), '/create');
    await watching.page.getByText('You are watching').waitFor();

    // What one does, the other sees, without loading anything.
    await me.page.goto(new URL('/create?way=existing', url).href);
    await me.page.getByLabel('Connection string of the target').fill(given('TARGET'));
    await me.page.getByRole('button', { name: 'Use this database' }).click();
    await me.page.getByText('The target is chosen').waitFor();
    await watching.page.getByText('The target is chosen').waitFor();
    check((await watching.page.locator('form').count()) === 0, 'who watches has no form');
    await watching.look('watching');

    // Without scripts the form works, too.
    await me.page.getByText('Share', { exact: true }).click();
    await me.page.getByRole('button', { name: 'Make a link that can act' }).click();
    const plain = await visitor({ javaScriptEnabled: false });
    await plain.page.goto(await me.page.locator('pre').textContent());
    await plain.page.waitForURL(address => address.pathname !== '/open');
    await plain.page.goto(new URL('/create', url).href);
    await plain.page.getByRole('button', { name: 'Choose another target' }).click();
    await plain.page.goto(new URL('/create?way=existing', url).href);
    await plain.page.getByLabel('Connection string of the target').fill('postgresql://x:y@host:nope/z');
    await plain.page.getByRole('button', { name: 'Use this database' }).click();
    await plain.page.locator('#target-error').waitFor();
    await plain.picture('plain-wrong');
    await plain.page.getByLabel('Connection string of the target').fill(given('TARGET'));
    await plain.page.getByRole('button', { name: 'Use this database' }).click();
    await plain.page.getByText('The target is chosen').waitFor();

    // Killed: the page says so, and keeps what it shows. Started again: it says which link to open.
    await me.page.goto(new URL('/create', url).href);
    await me.page.getByText('The target is chosen').waitFor();
    await cue('kill');
    await me.page.getByText('neon-migrate is not running any more').or(me.page.getByText('The connection to neon-migrate was lost')).waitFor();
    check(await me.page.getByText('The target is chosen').isVisible(), 'what was shown is still there');
    await me.look('killed');
    const link = await cue('start');
    await me.page.getByText('Open the link that it printed').waitFor();
    await me.look('started-again');
    await me.enter(link, '/create');
    await me.page.getByRole('heading', { name: 'Your Neon account' }).waitFor();
    // The watcher's page, and the one without scripts, were let in by the process before.
    // Every page that was open then lost its stream, and the pages that do not know this process yet are told so.
    await watch.expectProblem(/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY/);
    await watching.leave();
    watch.excuse(/ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|401/);
});
