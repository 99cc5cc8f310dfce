#!/usr/bin/env node
// The seed's design as a function of AWS Lambda: POST /stream scans the table for the user's streams
// and puts one more if there are fewer than three; DELETE /stream deletes one. Speaks the Runtime API
// itself (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html), as a custom runtime does.
import { randomUUID } from "node:crypto";

import { DeleteItemCommand, DynamoDBClient, paginateScan, PutItemCommand } from "@aws-sdk/client-dynamodb";

const LIMIT = 3;
const table = process.env.SEED_TABLE;
const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
const client = new DynamoDBClient({ endpoint: process.env.SEED_ENDPOINT });

function answer(statusCode, message) {
  const body = message === undefined ? "" : JSON.stringify({ statusCode, message });
  return { statusCode, headers: { "Content-Type": "application/json" }, body };
}

async function start({ userId }) {
  if (!userId) {
    return answer(400, { error: "Request missing userId" });
  }
  // Every page: the seed itself looked at the first only, and lost count past it.
  const pages = paginateScan({ client }, {
    TableName: table,
    FilterExpression: "userId = :user",
    ExpressionAttributeValues: { ":user": { S: String(userId) } },
  });
  let streams = 0;
  for await (const page of pages) {
    streams += page.Count;
  }
  if (LIMIT <= streams) {
    return answer(403, { error: "Unable to start a new stream, maximum limit reached" });
  }
  const streamId = randomUUID();
  const Item = { streamId: { S: streamId }, userId: { S: String(userId) } };
  await client.send(new PutItemCommand({ TableName: table, Item }));
  return answer(201, { streamId, userId });
}

async function stop({ userId, streamId }) {
  try {
    await client.send(new DeleteItemCommand({
      TableName: table,
      Key: { streamId: { S: String(streamId) } },
      ConditionExpression: "userId = :user",
      ExpressionAttributeValues: { ":user": { S: String(userId) } },
    }));
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") {
      return answer(404, { error: "Stream not found" });
    }
    throw error;
  }
  return answer(204);
}

const handlers = { POST: start, DELETE: stop };

for (;;) {
  const next = await fetch(`${runtime}/next`);
  const id = next.headers.get("lambda-runtime-aws-request-id");
  const event = await next.json();
  try {
    const answered = await handlers[event.httpMethod](JSON.parse(event.body));
    await fetch(`${runtime}/${id}/response`, { method: "POST", body: JSON.stringify(answered) });
  } catch (error) {
    const body = JSON.stringify({ errorMessage: error.message, errorType: error.name });
    await fetch(`${runtime}/${id}/error`, { method: "POST", body });
  }
}
