// Sends one request of the hostile benchmark.

/** Sends a request and resolves to its status. */
export async function send({ url, headers }, { path, form, grpc }) {
  const type = grpc ? 'application/grpc-web+proto' : 'application/x-www-form-urlencoded';
  const body = grpc ?? form;
  const given = body === undefined ? {} : { method: 'POST', body, headers: { ...headers, 'Content-Type': type } };
  const response = await fetch(url + path, { headers, ...given });
  await response.arrayBuffer();
  return response.headers.get('grpc-status') === null ? response.status : `gRPC ${response.headers.get('grpc-status')}`;
}
