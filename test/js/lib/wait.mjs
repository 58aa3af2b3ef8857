/* Poll until it is true, and return what it gave. */
export async function waitFor(description, condition, seconds = 30) {
	const deadline = Date.now() + seconds * 1000;
	while (true) {
		const result = await condition();
		if (result)
			return result;
		if (Date.now() > deadline)
			throw new Error(`timed out after ${seconds} s waiting for: ${description}`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}
